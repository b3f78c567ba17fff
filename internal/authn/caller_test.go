package authn_test

import (
	"testing"
	"time"

	"latchkey"
)

// Any program on a machine may ask for its own user's unlock. What it says about
// his name is its own word: it must not reach somebody else's authenticators.
func TestC10AProgramOfAnotherUserReachesNobodysAuthenticators(t *testing.T) {
	t.Parallel()
	const daemon, anas = 33, 1000
	w := newWorld(t)
	w.totp(w.user("ana"))
	ask := func(name string, caller, uid uint32, local bool, answers ...string) string {
		l := w.logon(name)
		l.Scenario, l.Service, l.Caller, l.UID, l.Local = latchkey.Unlock, "swaylock", caller, &uid, local
		return w.typed(l, answers...)
	}
	// ana was never here: nothing is tied yet.
	for range 12 {
		w.expect(ask("ana", daemon, daemon, false, w.wrong()), "deny unknown_identity")
		w.expect(ask("ANA", daemon, daemon, false, w.wrong()), "deny unknown_identity")
		w.expect(ask("ana", daemon, anas, false, w.wrong()), "deny unknown_identity")
	}
	w.expect(ask("ana", anas, anas, false), "deny unknown_identity")
	if n := w.count(latchkey.UnknownIdentity); n != 0 {
		t.Errorf("a program that anybody may start has written %d lines", n)
	}
	// The machine's own file knows her: it is her.
	w.expect(ask("ana", anas, anas, true), "ask secret totp")

	l := w.logon("ana")
	uid := uint32(anas)
	l.UID = &uid
	w.expect(w.typed(l, w.code(0)), "allow verified_online") // not locked; root's program ties the uid
	w.expect(ask("ana", anas, anas, false, w.code(1)), "allow verified_online")
	w.expect(ask("ana", daemon, anas, true), "deny unknown_identity") // says so, is not
	w.expect(ask("ana", daemon, daemon, false), "deny unknown_identity")

	// Where nobody is asked nothing can be used up.
	w.user("bob")
	w.policy(func(p *latchkey.Policy) { p.Scenarios[latchkey.Unlock] = latchkey.ScenarioRules{} })
	w.expect(ask("bob", daemon, daemon, false), "not-required scenario_off")
}

// What one of the user's own programs proves opens his screen and nothing else,
// and what it gets wrong is nobody else's matter, here and on other machines.
func TestC10AnOwnProgramOpensNoAllowanceAndClosesNoDoorOfRoots(t *testing.T) {
	t.Parallel()
	uid := uint32(1000)
	w := newWorld(t)
	ana, here := w.user("ana"), w.machine
	w.totp(ana)
	own := func() latchkey.Logon {
		l := w.logon("ana")
		l.Scenario, l.Service, l.Caller, l.UID, l.Local = latchkey.Unlock, "swaylock", uid, &uid, true
		return l
	}
	w.expect(w.typed(own(), w.code(0)), "allow verified_online")
	l, err := w.db.Ledger(w.ctx, here, "")
	w.must(err)
	if m := l.Users[ana]; m == nil || !m.Anchor.IsZero() || !m.EnrolledAt.IsZero() || m.UID != nil {
		t.Errorf("opening the screen has brought more than that: %+v", m)
	}
	for range 10 {
		w.pass(time.Hour)
		w.expect(w.typed(own(), w.wrong()), "deny wrong_code")
	}
	w.pass(time.Minute)
	if v := w.signed(w.authn.ForMachine(here).BeginSigned(w.ctx, "n", own())); v.Outcome != latchkey.Locked || v.Sticky {
		t.Errorf("after ten wrong codes: %+v", v)
	}
	w.machine = w.join("pc-18")
	w.expect(w.typed(own(), w.code(0)), "allow verified_online")
	w.machine = here
	w.pass(time.Minute)
	w.expect(w.typed(w.logon("ana"), w.code(0)), "allow verified_online")
	w.expect(w.typed(own()), "locked locked")
	w.must(w.db.UnlockUser(w.ctx, ana, latchkey.Event{Kind: latchkey.UserEnabled}))
	w.expect(w.typed(own()), "ask secret totp")
}
