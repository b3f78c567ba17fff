package fleet_test

import (
	"testing"
	"time"

	"latchkey"
	"latchkey/internal/api"
	"latchkey/internal/otp"
)

// TestFloorsWithoutEventsRaiseNothing: what was used is told by events. A
// machine that could raise floors alone would burn the codes that its users
// need elsewhere, at each sync, without a trace.
func TestFloorsWithoutEventsRaiseNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.user("ana", latchkey.TOTP)
	m := w.machine("pc-1")
	w.expect(m.login("ana", w.code(0)), "allow verified_online")
	m.sync()
	h := m.fetch(u)
	w.pass(time.Hour)
	next := otp.Step(w.now(), 30) + 1
	out := m.sync(api.Known{User: u, Version: h.Version, Anchor: h.Anchor, Floors: []latchkey.Floor{{Credential: h.Credentials[0].ID, Next: next}}})
	if out.State != "active" {
		t.Fatalf("the machine is %s", out.State)
	}
	w.expect(m.login("ana", w.code(0)), "allow verified_online")
}
