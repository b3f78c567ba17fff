package fleet_test

import (
	"testing"

	"latchkey"
	"latchkey/internal/api"
	"latchkey/internal/otp"
)

// A20: a token at a high counter is used online and offline like any other, or
// refused where it is added.
func TestA20ATokenAtAHighCounterWorksOrIsRefused(t *testing.T) {
	t.Parallel()
	for name, first := range map[string]uint64{"2^31": 1<<31 - 2, "2^32": 1<<32 - 2, "2^62": 1 << 62} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			ana := w.user("ana")
			added, err := w.enroll.AddAuthenticator(w.ctx, "admin", "ana", api.AddAuthenticator{Kind: latchkey.HOTP, Secret: otp.Base32(key20), Counter: first})
			w.must(err)
			m := w.machine("pc-1")
			w.expect(m.login("ana", counter(first)), "allow verified_online")
			w.expect(m.login("ana", counter(first)), "deny code_already_used")
			m.sync()
			if from, past := span(m.fetch(ana)); from != first+1 || past != first+31 {
				t.Errorf("it holds %d to %d", from, past)
			}
			m.offline(ana, added.ID, first+4)
			m.offline(ana, added.ID, first+5)
			if out := m.sync(); out.State != "active" {
				t.Errorf("it is %s: %q", out.State, w.incidents())
			}
			w.expect(m.login("ana", counter(first+5)), "deny code_already_used")
			w.expect(m.login("ana", counter(first+6)), "allow verified_online")
		})
	}
	w := newWorld(t)
	w.user("ana")
	for _, first := range []uint64{1<<62 + 1, 1<<63 - 108, 1<<63 - 1, 1 << 63, 1<<64 - 1} {
		in := api.AddAuthenticator{Kind: latchkey.HOTP, Secret: otp.Base32(key20), Counter: first}
		if _, err := w.enroll.AddAuthenticator(w.ctx, "admin", "ana", in); latchkey.CodeOf(err) != latchkey.Invalid {
			t.Errorf("%d: %v", first, err)
		}
	}
}
