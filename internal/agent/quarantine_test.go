//go:build linux

package agent_test

import (
	"testing"
	"time"

	"latchkey"
	"latchkey/internal/api"
)

// quarantine makes the server take the machine for one whose ledger went back.
func (w *world) quarantine() {
	w.Helper()
	m, err := w.db.MachineNamed(w.Context(), "pc-1")
	w.ok(err)
	_, err = w.fleet.Sync(w.Context(), m.ID, api.SyncRequest{Nonce: "n"})
	w.ok(err)
	w.sync()
	if s := w.status(); s.State != latchkey.Quarantined {
		w.Fatalf("the machine is %s", s.State)
	}
}

// L06: a machine in quarantine lets nobody in who was put out since: what takes
// away reaches it, what gives does not.
func TestL06AMachineInQuarantineLetsNobodyInWhoWasPutOut(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		take func(w *world)
		want string
	}{
		"nothing is taken":        {func(*world) {}, "allow verified_offline"},
		"the user is disabled":    {func(w *world) { w.disable("ana") }, "deny account_disabled"},
		"the user is disenrolled": {func(w *world) { w.ok(w.enroll.Disenroll(w.Context(), "admin", "ana", "pc-1")) }, "deny account_disabled"},
		"offline is switched off": {func(w *world) { w.policy(func(p *latchkey.Policy) { p.Offline.Enabled = false }) }, "deny server_unreachable"},
		"the authenticator is taken off": {func(w *world) {
			w.policy(func(p *latchkey.Policy) { p.Factors.Offline = []latchkey.Kind{latchkey.HOTP} })
		}, "deny server_unreachable"},
		"the policy waives from now on": {func(w *world) { w.policy(func(p *latchkey.Policy) { p.Unreachable = latchkey.Skip }) }, "deny server_unreachable"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.user("ana")
			w.start()
			w.expect(w.signIn("ana", w.next("ana")), "allow verified_online", "the first login")
			w.sync()
			w.quarantine()
			tc.take(w)
			w.sync()
			w.sync() // there is nothing that it fetches for ever
			w.unplug()
			w.expect(w.signIn("ana", w.next("ana")), tc.want, "without the server")
			w.stop()
			w.start()
			w.expect(w.signIn("ana", w.next("ana")), tc.want, "after a restart")
			w.pass(31 * 24 * time.Hour)
			if got := w.signIn("ana", w.next("ana")); got == "allow verified_offline" || got == "allow skipped_unreachable" {
				t.Errorf("after a month: %s", got)
			}
		})
	}
}

// The logins that the server checks itself go on, and the approval ends it all.
func TestAMachineInQuarantineGoesOnOnlineAndComesBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.user("ana")
	w.start()
	w.expect(w.signIn("ana", w.next("ana")), "allow verified_online", "the first login")
	w.sync()
	w.quarantine()
	w.policy(func(p *latchkey.Policy) { *p.Offline.Logins = 5 })
	w.sync()
	w.expect(w.signIn("ana", w.next("ana")), "allow verified_online", "in quarantine")
	w.unplug()
	w.expect(w.signIn("ana", w.next("ana")), "deny server_unreachable", "without the server")
	w.plug()
	w.ok(w.fleet.Approve(w.Context(), "admin", "pc-1"))
	w.sync()
	w.unplug()
	w.expect(w.signIn("ana", w.next("ana")), "allow verified_offline", "after the approval")
}
