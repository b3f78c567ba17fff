package fleet_test

import (
	"testing"
	"time"

	"latchkey"
	"latchkey/internal/api"
	"latchkey/internal/otp"
)

// burn lets a machine report, each half minute, that it used the code after the
// present one, and counts the right codes that are refused elsewhere for it.
func burn(w *world, evil, good *machine, ana latchkey.UserID, id latchkey.AuthenticatorID, times int) (refused int) {
	for range times {
		w.pass(30 * time.Second)
		evil.offline(ana, id, otp.Step(w.now(), 30)+1)
		evil.sync()
		if good.login("ana", w.code(0)) == "deny code_already_used" {
			refused++
		}
	}
	return refused
}

func (w *world) state(m *machine) latchkey.MachineState {
	w.Helper()
	got, err := w.db.Machine(w.ctx, m.id)
	w.must(err)
	return got.State
}

func TestAMachineUsesUpNoCodesThatItWasNeverHanded(t *testing.T) {
	t.Parallel()
	for name, edit := range map[string]func(*latchkey.Policy){
		"of a protected user":           func(p *latchkey.Policy) { p.Protected = true },
		"where offline is off":          func(p *latchkey.Policy) { p.Offline.Enabled = false },
		"where its keys are too weak":   func(p *latchkey.Policy) { p.MinKeyClass = latchkey.TPM },
		"of a kind that is online only": func(p *latchkey.Policy) { p.Factors.Offline = []latchkey.Kind{latchkey.HOTP} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.policy(edit)
			ana := w.user("ana", latchkey.TOTP)
			evil, good := w.machine("evil"), w.machine("good")
			w.expect(evil.login("ana", w.code(0)), "allow verified_online")
			evil.sync()
			if h := evil.fetch(ana); len(h.Credentials) != 0 {
				t.Fatalf("%+v", h.Credentials)
			}
			list, err := w.db.AuthenticatorsOf(w.ctx, ana)
			w.must(err)
			if n := burn(w, evil, good, ana, list[0].ID, 5); n != 0 {
				t.Errorf("%d right codes are refused elsewhere", n)
			}
			if got := w.state(evil); got != latchkey.Quarantined {
				t.Errorf("it is %s", got)
			}
		})
	}
}

// Codes that a machine was handed it may report at the moment of its login, and
// so keep their owner out elsewhere: as often as he may log in there offline.
func TestAMachineUsesUpCodesNoOftenerThanOneAllowanceAllows(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.policy(func(p *latchkey.Policy) { p.Offline.Logins = new(3) })
	ana := w.user("ana", latchkey.TOTP)
	evil, good := w.machine("evil"), w.machine("good")
	w.expect(evil.login("ana", w.code(0)), "allow verified_online")
	evil.sync()
	id := evil.fetch(ana).Credentials[0].ID
	if n := burn(w, evil, good, ana, id, 20); n < 3 || n > 5 {
		t.Errorf("%d right codes are refused elsewhere", n)
	}
	if got := w.told("the machine used up more codes than the user's allowance is good for"); len(got) != 1 || got[0].User != ana {
		t.Errorf("incidents %+v", got)
	}
	// What it says beyond them is an incident at each login that meets it.
	if got := w.told(twice); len(got) == 0 {
		t.Error("nothing is said of codes that it named and others used")
	}
	// Its owner's next login there opens a new allowance.
	w.pass(time.Minute)
	w.expect(evil.login("ana", w.code(0)), "allow verified_online")
	evil.sync()
	if n := burn(w, evil, good, ana, id, 20); n < 3 || n > 5 {
		t.Errorf("%d right codes are refused after the next login", n)
	}
}

// The policy is changed after the codes were handed out, so that no more are: what
// was used of them counts, and no oftener than before.
func TestCodesThatWereHandedOutBeforeThePolicyChangedCount(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ana := w.user("ana", latchkey.TOTP)
	m, good := w.machine("pc-1"), w.machine("good")
	w.expect(m.login("ana", w.code(0)), "allow verified_online")
	m.sync()
	id := m.fetch(ana).Credentials[0].ID
	w.policy(func(p *latchkey.Policy) { p.Offline.Logins, p.Protected = new(3), true })
	w.pass(time.Hour)
	m.offline(ana, id, otp.Step(w.now(), 30))
	if out := m.sync(); out.State != "active" {
		t.Fatalf("an honest machine is %s: %q", out.State, w.incidents())
	}
	w.expect(good.login("ana", w.code(0)), "deny code_already_used")
	w.pass(time.Minute)
	w.expect(m.login("ana", w.code(0)), "allow verified_online")
	m.sync()
	if n := burn(w, m, good, ana, id, 20); n > 5 {
		t.Errorf("%d right codes are refused elsewhere", n)
	}
}

// A laptop that was away for a week reports all of it at once, also what it did
// before its owner's last login there, and that is no lie.
func TestLateReportsOfAnHonestMachineAreBelieved(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.policy(func(p *latchkey.Policy) { p.Offline.Logins = new(3) })
	ana := w.user("ana", latchkey.TOTP, latchkey.HOTP)
	m := w.machine("pc-1")
	w.expect(m.login("ana", "totp", w.code(0)), "allow verified_online")
	m.sync()
	var id latchkey.AuthenticatorID
	for _, c := range m.fetch(ana).Credentials {
		if c.Kind == latchkey.TOTP {
			id = c.ID
		}
	}
	for range 3 {
		w.pass(day)
		m.offline(ana, id, otp.Step(w.now(), 30))
	}
	w.pass(3 * day)
	w.expect(m.login("ana", "hotp", counter(0)), "allow verified_online")
	if out := m.sync(); out.State != "active" || len(w.incidents()) != 0 {
		t.Errorf("it is %s: %q", out.State, w.incidents())
	}
	rows, err := w.db.AuthenticatorsOf(w.ctx, ana)
	w.must(err)
	if rows[0].Kind == latchkey.TOTP && w.next(id) != otp.Step(w.now().Add(-3*day), 30)+1 {
		t.Errorf("the step is %d", w.next(id))
	}
}

// A step of before the machine was handed any is one that it cannot have taken.
func TestN15StepsFromBeforeTheFirstHandoutAreALie(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ana := w.user("ana", latchkey.TOTP)
	m := w.machine("pc-1")
	w.expect(m.login("ana", w.code(0)), "allow verified_online")
	m.sync()
	id := m.fetch(ana).Credentials[0].ID
	m.report(api.Report{User: ana, Outcome: latchkey.Allowed, Reason: latchkey.VerifiedOffline, Credential: id, Used: 1000})
	if out := m.sync(); out.State != "quarantined" {
		t.Errorf("it is %s", out.State)
	}
}
