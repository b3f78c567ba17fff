package fleet_test

import (
	"testing"
	"time"

	"latchkey"
	"latchkey/internal/api"
)

// A machine reports late what happened offline. Who has waited since, or has
// proven himself online since, must not wait again.
func TestC07FailuresReportedLateSlowNobodyWhoHasWaitedOrProvenHimself(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ana := w.user("ana", latchkey.TOTP)
	m := w.machine("pc-1")
	w.expect(m.login("ana", w.code(0)), "allow verified_online")
	wrong := func(at time.Time) {
		for range 10 {
			m.report(api.Report{User: ana, At: at.UnixMilli(), Outcome: latchkey.Denied, Reason: latchkey.WrongCode})
		}
	}

	w.pass(time.Hour)
	failed := w.now()
	w.pass(2 * day)
	wrong(failed)
	m.sync()
	w.expect(m.login("ana", w.code(0)), "allow verified_online") // "connect to the network and sign in once"

	wrong(w.now().Add(-time.Minute)) // before that login, delivered after it
	m.sync()
	w.pass(time.Minute)
	w.expect(m.login("ana", w.code(0)), "allow verified_online")

	w.pass(time.Minute)
	wrong(w.now()) // these are new
	m.sync()
	w.expect(m.login("ana", w.code(0)), "deny throttled")
}

// Anybody's program may fail at its user's locked screen: that must not keep
// him out of the machine when it comes home.
func TestC10FailuresReportedFromALockedScreenSlowNobodyElsewhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ana := w.user("ana", latchkey.TOTP)
	m := w.machine("pc-1")
	w.expect(m.login("ana", w.code(0)), "allow verified_online")
	w.pass(time.Minute)
	for range 10 {
		m.report(api.Report{User: ana, At: w.now().UnixMilli(), Scenario: latchkey.Unlock, Outcome: latchkey.Denied, Reason: latchkey.WrongCode})
	}
	m.sync()
	w.expect(m.login("ana", w.code(0)), "allow verified_online")
}
