package authn_test

import (
	"testing"
	"time"

	"latchkey"
	"latchkey/internal/audit"
	"latchkey/internal/authn"
)

// Whoever is root on one machine can ask for ever: that must not push what
// others did out of the trail, and what cost a code is always in it.
func TestN15OneMachineCannotFloodTheTrail(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ana, here := w.user("ana"), w.machine
	w.totp(ana)
	lines := func(kind latchkey.EventKind) []latchkey.Event {
		t.Helper()
		var all []latchkey.Event
		for before := ""; ; {
			page, err := w.db.Events(w.ctx, audit.Query{Limit: 1000, Kind: string(kind), BeforeID: before})
			w.must(err)
			if all = append(all, page...); len(page) < 1000 {
				return all
			}
			before = page[len(page)-1].ID
		}
	}
	for range authn.MaxRefusals + 50 {
		w.expect(w.login("stranger"), "deny unknown_identity")
	}
	if n := len(lines(latchkey.LogonEvent)); n != authn.MaxRefusals {
		t.Errorf("%d lines", n)
	}
	told := lines(latchkey.EventsLeftOut) // the newest comes first
	if len(told) != 2 || told[0].Detail["left_out"] != "10" || told[0].Machine != here || told[0].Host != "pc-17" {
		t.Fatalf("told %+v", told)
	}
	w.expect(w.login("ana", w.wrong()), "deny wrong_code")
	w.expect(w.login("ana", w.code(0)), "allow verified_online")
	w.machine = w.join("pc-18")
	w.expect(w.login("stranger"), "deny unknown_identity")
	w.machine = here
	if n := len(lines(latchkey.LogonEvent)); n != authn.MaxRefusals+3 {
		t.Errorf("%d lines with those that count", n)
	}
	w.pass(time.Hour)
	w.expect(w.login("stranger"), "deny unknown_identity")
	if told = lines(latchkey.EventsLeftOut); len(told) != 3 || told[0].Detail["left_out"] != "50" {
		t.Errorf("an hour later %+v", told)
	}
	// A denial that stays reaches the machine all the same.
	w.must(w.db.SetDisabled(w.ctx, ana, true, latchkey.Event{Kind: latchkey.UserDisabled}))
	for range authn.MaxRefusals {
		w.expect(w.login("stranger"), "deny unknown_identity")
	}
	if v := w.signed(w.authn.ForMachine(here).BeginSigned(w.ctx, "n", w.logon("ana"))); !v.Sticky || v.Event != "" {
		t.Errorf("a denial that is in no line: %+v", v)
	}
}
