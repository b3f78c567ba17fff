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
	// A denial that stays reaches the machine also where it is in no line: a few
	// are in one whatever else was.
	w.must(w.db.SetDisabled(w.ctx, ana, true, latchkey.Event{Kind: latchkey.UserDisabled}))
	for n := range authn.MaxWeighty + authn.MaxRefusals + 1 {
		v := w.signed(w.authn.ForMachine(here).BeginSigned(w.ctx, "n", w.logon("ana")))
		if written := n < authn.MaxWeighty+authn.MaxRefusals; !v.Sticky || (v.Event != "") != written {
			t.Fatalf("denial %d: %+v", n, v)
		}
	}
	if told = lines(latchkey.EventsLeftOut); told[0].User != ana || told[0].UserName != "ana" || told[0].Detail["left_out"] != "1" {
		t.Errorf("of whom it is: %+v", told[0])
	}
}

// A user who asks for ever must not hide what happens to another on the same
// machine: neither that his code was tried again, nor that he got in or was kept
// out.
func TestN15OneUserCannotHideWhatHappensToAnother(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ana := w.user("ana")
	w.user("bob")
	w.user("eva")
	w.totp(ana)
	w.expect(w.login("ana", w.code(0)), "allow verified_online")
	for range authn.MaxRefusals + 1 {
		w.expect(w.login("bob"), "deny not_enrolled")
	}
	of := func(u string, r latchkey.Reason) (n int) {
		page, err := w.db.Events(w.ctx, audit.Query{Limit: 1000, Kind: string(latchkey.LogonEvent), User: u})
		w.must(err)
		for _, e := range page {
			if e.Reason == r {
				n++
			}
		}
		return n
	}
	w.expect(w.login("eva"), "deny not_enrolled")
	w.expect(w.login("ana", w.code(0)), "deny code_already_used")
	settings := latchkey.DefaultSettings()
	settings.Mode = latchkey.Exempt
	w.must(w.db.ChangeMachine(w.ctx, w.machine, settings, latchkey.Event{Kind: latchkey.MachineChanged}))
	w.expect(w.login("ana"), "not-required machine_exempt")
	w.must(w.db.SetDisabled(w.ctx, ana, true, latchkey.Event{Kind: latchkey.UserDisabled}))
	w.expect(w.login("ana"), "deny account_disabled")
	for r, want := range map[latchkey.Reason]int{
		latchkey.CodeAlreadyUsed: 1, latchkey.MachineExempt: 1, latchkey.AccountDisabled: 1,
	} {
		if n := of("ana", r); n != want {
			t.Errorf("%d lines of ana: %s", n, r)
		}
	}
	if n := of("eva", latchkey.NotEnrolled); n != 1 {
		t.Errorf("%d lines of eva", n)
	}
	if n := of("bob", latchkey.NotEnrolled); n != authn.MaxRefusals {
		t.Errorf("%d lines of bob", n)
	}
}
