package fleet_test

import (
	"testing"
	"time"

	"latchkey"
	"latchkey/internal/api"
	"latchkey/internal/otp"
)

// A report of a code under no name at all, which no agent writes, keeps no other
// machine from delivering its own, and so from hearing who is disabled.
func TestACodeUnderNoNameBlocksNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ana := w.user("ana", latchkey.TOTP)
	a, b := w.machine("pc-a"), w.machine("pc-b")
	w.expect(a.login("ana", w.code(0)), "allow verified_online")
	w.pass(time.Minute)
	w.expect(b.login("ana", w.code(0)), "allow verified_online")
	a.sync()
	b.sync()
	token := a.fetch(ana).Credentials[0].ID
	b.fetch(ana)
	w.pass(time.Hour)
	used := otp.Step(w.now(), 30)
	a.seq++
	a.generation++
	a.queue = append(a.queue, api.Report{
		Seq: a.seq, At: a.now().UnixMilli(), User: ana, Scenario: latchkey.Console, Outcome: latchkey.Allowed,
		Reason: latchkey.VerifiedOffline, Credential: token, Used: used,
	})
	a.sync()
	b.offline(ana, token, used)
	if out := b.sync(); out.Acked != b.seq {
		t.Errorf("acknowledged %d of %d", out.Acked, b.seq)
	}
}

// A machine that was quarantined at its first contact after a restore, and is
// approved days later, says what it was told by the database that is lost. It is
// told anew, and what it used counts.
func TestAMachineThatKnowsMoreIsBelievedOnceApproved(t *testing.T) {
	t.Parallel()
	w, ana, a, token, restore := yesterday(t)
	w.pass(day)
	w.expect(a.login("ana", "hotp", counter(40), counter(41)), "allow verified_online")
	a.sync()
	h := a.fetch(ana)
	w.pass(time.Minute)
	restore()
	known := api.Known{User: ana, Version: h.Version, Floors: []latchkey.Floor{{Credential: token, Next: 61}}}
	a.queue = []api.Report{{Seq: 1 << 41, User: ana}} // which no agent counts up to
	if out := a.sync(known); out.State != "quarantined" {
		t.Fatalf("%s: %v", out.State, w.incidents())
	}
	a.queue = nil
	w.pass(2 * day)
	w.must(w.fleet.Approve(w.ctx, "admin", "pc-a"))
	if out := a.sync(known); out.State != "active" || len(out.Users) != 1 {
		t.Errorf("approved: %s, told of %v: %v", out.State, out.Users, w.incidents())
	}
	if n := w.next(token); n != 61 {
		t.Errorf("the token stands at %d", n)
	}
}

// The clock of the server was two hours ahead when somebody logged in: the book
// begins with that day all the same, and a code of the right time is no lie.
func TestABookBeginsWithItsDay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ana := w.user("ana", latchkey.TOTP, latchkey.HOTP)
	a := w.machine("pc-a")
	w.pass(2 * time.Hour)
	w.expect(a.login("ana", "hotp", counter(2)), "allow verified_online")
	a.sync()
	a.fetch(ana)
	w.pass(-2 * time.Hour)
	a.sync()
	h := a.fetch(ana)
	w.pass(10 * time.Minute)
	for _, c := range h.Credentials {
		if c.Kind == latchkey.TOTP {
			a.offline(ana, c.ID, otp.Step(w.now(), 30))
		}
	}
	if out := a.sync(); out.State != "active" || out.Acked != a.seq {
		t.Errorf("%s, %d of %d: %v", out.State, out.Acked, a.seq, w.incidents())
	}
}
