package vault_test

import (
	"strings"
	"testing"
	"time"

	"latchkey"
)

func TestC02TheRefusalSaysWhichLimitEnded(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		spend func(w *world)
		want  string
	}{
		"the days": {func(w *world) { w.pass(8 * 24 * time.Hour) }, "The days for offline logins are over"},
		"the logins": {func(w *world) {
			for range 3 {
				expect(w.t, w.login(latchkey.Console, w.totp(w.wall)), allowed)
				w.pass(time.Minute)
			}
		}, "Offline logins are used up"},
		"both, and the days last": {func(w *world) {
			for range 3 {
				expect(w.t, w.login(latchkey.Console, w.totp(w.wall)), allowed)
				w.pass(time.Minute)
			}
			w.pass(8 * 24 * time.Hour)
		}, "The days for offline logins are over"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, _ := offline(t, asIs)
			tc.spend(w)
			v := w.begin(w.logon(latchkey.Console)).Verdict
			if v == nil || v.Reason != latchkey.OfflineLimitReached || !strings.HasPrefix(v.Text, tc.want) {
				t.Errorf("refused with %+v, want %q", v, tc.want)
			}
		})
	}
}
