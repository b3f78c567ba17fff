package fleet_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey"
	"latchkey/internal/api"
	"latchkey/internal/audit"
	"latchkey/internal/otp"
)

// rolledBack is a machine whose ledger went back: it is quarantined, and says
// that it let ana in with one code more.
func rolledBack(t *testing.T) (w *world, ana latchkey.UserID, a, b *machine, token latchkey.AuthenticatorID) {
	t.Helper()
	w, ana, a, b, token = two(t)
	a.generation = 10
	a.sync()
	a.generation = 3
	a.offline(ana, token, 4)
	a.offline(ana, token, 5)
	if got := a.sync(); got.State != "quarantined" || got.Acked != 2 {
		t.Fatalf("it is %s, acked %d", got.State, got.Acked)
	}
	return w, ana, a, b, token
}

func (w *world) next(token latchkey.AuthenticatorID) uint64 {
	w.Helper()
	_, held, err := w.db.Token(w.ctx, token)
	w.must(err)
	return held.State.Next
}

// told lists the incidents of one kind.
func (w *world) told(what string) (out []latchkey.Event) {
	w.Helper()
	events, err := w.db.Events(w.ctx, audit.Query{Limit: 1000, Kind: string(latchkey.Incident)})
	w.must(err)
	for _, e := range events {
		if e.Detail["incident"] == what {
			out = append(out, e)
		}
	}
	return out
}

const twice = "one code was used for two logins"

func TestB07WhatAQuarantinedMachineUsedIsUsedUpOnceItIsApproved(t *testing.T) {
	t.Parallel()
	w, _, a, b, token := rolledBack(t)
	if got := w.next(token); got != 1 {
		t.Fatalf("before it is approved the counter is at %d", got)
	}
	w.must(w.fleet.Approve(w.ctx, "admin", "pc-a"))
	if got := w.next(token); got != 6 {
		t.Errorf("after it was approved the counter is at %d", got)
	}
	a.sync()
	w.expect(b.login("ana", counter(5)), "deny code_already_used")
	w.expect(b.login("ana", counter(6)), "allow verified_online")
	if got := w.told(twice); len(got) != 0 {
		t.Errorf("incidents %+v", got)
	}
}

// Nothing that it says moves a counter or keeps anybody out: who is let in with
// a code that it named is an incident, told once, that says whom it is from.
func TestB07ACodeThatAQuarantinedMachineNamedIsAnIncidentWhereItIsUsed(t *testing.T) {
	t.Parallel()
	w, ana, a, b, token := rolledBack(t)
	w.expect(b.login("ana", counter(5)), "allow verified_online")
	w.must(w.fleet.Approve(w.ctx, "admin", "pc-a"))
	a.sync()
	w.expect(b.login("ana", counter(6)), "allow verified_online")
	got := w.told(twice)
	if len(got) != 1 {
		t.Fatalf("incidents %+v", got)
	}
	e := got[0]
	if e.User != ana || e.UserName != "ana" || e.Host != "pc-b" || e.Detail["authenticator"] != string(token) || e.Detail["counter"] != "5" ||
		e.Detail["machines"] != "pc-a pc-b" || e.Detail["quarantined"] != "pc-a" || len(strings.Fields(e.Detail["logons"])) != 2 {
		t.Errorf("it says %+v", e)
	}
}

// A login whose answer got lost is one login, also where its machine is not
// believed.
func TestALoginThatAQuarantinedMachineFinishedIsOneLogin(t *testing.T) {
	t.Parallel()
	w, ana, a, _, token := rolledBack(t)
	var id string
	w.expect(a.loginAs("ana", &id, counter(6)), "allow verified_online")
	a.report(api.Report{Logon: id, User: ana, Outcome: latchkey.Allowed, Reason: latchkey.VerifiedOffline, Credential: token, Used: 6})
	a.sync()
	if got := w.told(twice); len(got) != 0 {
		t.Errorf("incidents %+v", got)
	}
}

// What another history did under numbers that were told before is in no report:
// the floors tell of it, and an administrator's word makes them count, once.
func TestTheFloorsOfAnApprovedMachineCountOnce(t *testing.T) {
	t.Parallel()
	w, ana, a, _, token := rolledBack(t)
	w.must(w.fleet.Approve(w.ctx, "admin", "pc-a"))
	at := func(next uint64) []api.Known {
		return []api.Known{{User: ana, Floors: []latchkey.Floor{{Credential: token, Next: next}}}}
	}
	a.queue = nil
	a.sync(at(9)...)
	if got := w.next(token); got != 9 {
		t.Errorf("the counter is at %d", got)
	}
	a.sync(at(12)...)
	if got := w.next(token); got != 9 {
		t.Errorf("the floors count a second time: %d", got)
	}
}

func TestApprovalRaisesNothingBeyondWhatTheMachineWasHanded(t *testing.T) {
	t.Parallel()
	w, ana, a, b, token := two(t)
	w.expect(b.login("ana", counter(20)), "ask secret")
	w.expect(b.login("ana", counter(20), counter(21)), "allow verified_online")
	w.move(token, "pc-b")
	b.sync()
	b.fetch(ana) // up to 51
	a.generation = 10
	a.sync()
	a.generation = 1
	a.offline(ana, token, 45) // of b
	a.sync()
	w.must(w.fleet.Approve(w.ctx, "admin", "pc-a"))
	if got := w.next(token); got != 22 {
		t.Errorf("the counter is at %d", got)
	}
}

func TestAStepThatAQuarantinedMachineUsedIsUsedUpOnceItIsApproved(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ana := w.user("ana", latchkey.TOTP)
	a, b := w.machine("pc-a"), w.machine("pc-b")
	a.generation = 10
	w.expect(a.login("ana", w.code(0)), "allow verified_online")
	a.sync()
	id := a.fetch(ana).Credentials[0].ID
	w.pass(time.Minute)
	a.generation = 1
	a.offline(ana, id, otp.Step(w.now(), 30))
	a.sync()
	w.must(w.fleet.Approve(w.ctx, "admin", "pc-a"))
	w.expect(b.login("ana", w.code(0)), "deny code_already_used")
	w.expect(b.login("ana", w.code(1)), "allow verified_online")
	if got := w.incidents(); !slices.Equal(got, []string{"the machine's ledger went back"}) {
		t.Errorf("incidents %q", got)
	}
}
