package fleet_test

import (
	"strings"
	"testing"

	"latchkey"
	"latchkey/internal/settings"
)

// explained is what a logon without the server would meet, and what is noted.
func (w *world) explained(user, machine string) (offline, notes string) {
	w.Helper()
	x, err := settings.New(w.db, w.now).Explain(w.ctx, user, machine, latchkey.Console)
	w.must(err)
	offline = x.Offline.Outcome
	for _, k := range x.Offline.Ask {
		offline += " " + string(k)
	}
	if x.Offline.Reason != "" {
		offline += " " + string(x.Offline.Reason)
	}
	return offline, strings.Join(x.Notes, "\n")
}

func TestExplainKnowsWhatAMachineMayHold(t *testing.T) {
	t.Parallel()
	const refused = "deny not_enrolled_here"
	for name, tc := range map[string]struct {
		change        func(w *world, u latchkey.UserID)
		offline, note string
	}{
		"nothing changes": {func(*world, latchkey.UserID) {}, "ask totp", "only the machine knows it: trust, grace"},
		"protected": {func(w *world, _ latchkey.UserID) {
			w.policy(func(p *latchkey.Policy) { p.Protected = true })
		}, refused, "until its next contact the machine goes by what it holds: totp, until 2026-11-28T12:00:00Z"},
		"weak keys": {func(w *world, _ latchkey.UserID) {
			w.policy(func(p *latchkey.Policy) { p.MinKeyClass = latchkey.Virtual })
		}, refused, "below min_key_class"},
		"disenrolled": {func(w *world, _ latchkey.UserID) {
			w.must(w.enroll.Disenroll(w.ctx, "admin", "ana", "pc"))
		}, refused, "offline: not enrolled for offline logons there"},
		"the authenticator is removed": {func(w *world, u latchkey.UserID) {
			all, err := w.db.AuthenticatorsOf(w.ctx, u)
			w.must(err)
			w.must(w.db.RemoveAuthenticator(w.ctx, u, all[0].ID, latchkey.Event{Kind: latchkey.AuthenticatorRemoved}))
		}, refused, "offline: no authenticator that works offline there"},
		"an authenticator of a kind that is not listed": {func(w *world, _ latchkey.UserID) {
			w.policy(func(p *latchkey.Policy) { p.Factors.Offline = []latchkey.Kind{latchkey.HOTP} })
		}, refused, "offline: no authenticator that works offline there"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			u := w.user("ana", latchkey.TOTP)
			pc := w.machine("pc")
			w.expect(pc.login("ana", w.code(0)), "allow verified_online")
			pc.settle(u)
			tc.change(w, u)
			offline, notes := w.explained("ana", "pc")
			w.expect(offline, tc.offline)
			if !strings.Contains(notes, tc.note) {
				t.Errorf("noted %q, want %q", notes, tc.note)
			}
			pc.settle(u)
			if again, notes := w.explained("ana", "pc"); again != tc.offline || strings.Contains(notes, "until its next contact the machine goes by") {
				t.Errorf("after a contact %q, noted %q", again, notes)
			}
		})
	}
}

func TestExplainKnowsWhoHasTheLease(t *testing.T) {
	t.Parallel()
	w, u, a, b, token := two(t)
	a.settle(u)
	w.expect(b.login("ana", counter(1)), "allow verified_online")
	b.settle(u)
	says := func(machine, want, note string) {
		t.Helper()
		offline, notes := w.explained("ana", machine)
		if offline != want || !strings.Contains(notes, note) {
			t.Errorf("on %s %q, noted %q; want %q, %q", machine, offline, notes, want, note)
		}
	}
	says("pc-a", "ask hotp", "only the machine knows")
	says("pc-b", "deny not_enrolled_here", "the codes of the hardware token are on pc-a")
	w.must(second(w.enroll.MoveLease(w.ctx, "admin", token, "pc-b")))
	says("pc-a", "deny not_enrolled_here", "until its next contact the machine goes by what it holds: hotp, until ")
	says("pc-b", "ask hotp", "until its next contact the machine goes by what it holds: nothing")
}
