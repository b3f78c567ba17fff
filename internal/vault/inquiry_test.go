package vault_test

import (
	"errors"
	"testing"
	"time"

	"latchkey"
	"latchkey/internal/api"
	"latchkey/internal/logon"
	"latchkey/internal/vault"
)

// answers are the three ways by which signed time reaches the vault, each with
// the server's word of now, to be taken up when the returned function is called.
var answers = map[string]func(*world) func() error{
	"a health answer": func(w *world) func() error {
		q := w.inquire()
		health := w.health(q.Nonce, w.wall)
		return func() error { return w.v.Contact(health, q) }
	},
	"a verdict": func(w *world) func() error {
		l, q := w.logon(latchkey.Console), w.inquire()
		raw := w.verdict(l, q, func(v *api.Verdict) { v.Reason, v.Outcome = latchkey.WrongCode, latchkey.Denied })
		return func() error {
			v, err := w.v.Absorb(l, raw, q)
			if err != nil && v.Outcome != latchkey.Denied {
				w.t.Errorf("the verdict of an error is %q", v.Outcome)
			}
			return err
		}
	},
	"a sync": func(w *world) func() error {
		req, err := w.v.Pending(100)
		must(w.t, err)
		q := w.inquire()
		resp := api.SyncResponse{
			Health: w.health(q.Nonce, w.wall), Settings: w.settings(func(s *api.Settings) { s.Settings.MatchLocal = false }),
		}
		return func() error {
			_, err := w.v.Merge(q, req, resp)
			return err
		}
	},
}

// D08: the lid is closed when the answer has arrived and is not yet written
// down. No timer notices; only the reading that the signed time is paired with
// can tell.
func TestAnAnswerFromBeforeASleepIsNotBelieved(t *testing.T) {
	t.Parallel()
	for name, answer := range answers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, _ := offline(t, asIs)
			w.contact(w.wall)
			generation, take := w.v.Status().Generation, answer(w)
			w.pass(13 * time.Hour)
			if err := take(); !errors.Is(err, logon.ErrSlept) {
				t.Errorf("error %v, want %v", err, logon.ErrSlept)
			}
			if s := w.v.Status(); s.Generation != generation || !s.Settings.MatchLocal {
				t.Error("it has left a trace")
			}
			w.knowsTheTime()
		})
	}
}

// A lid may be closed a moment later just as well.
func TestTimeThatPassesAfterTheLookAtTheClockCounts(t *testing.T) {
	t.Parallel()
	for name, answer := range answers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, _ := offline(t, asIs)
			take := answer(w)
			w.rush = 13 * time.Hour
			must(t, take())
			w.rush = 0
			w.knowsTheTime()
		})
	}
}

// knowsTheTime logs in with a code of now. Within the boot of a contact the wall
// clock does not count, so it is set wrong: only the other one can be right.
func (w *world) knowsTheTime() {
	w.t.Helper()
	now := w.wall
	w.wall = now.Add(-24 * time.Hour)
	expect(w.t, w.login(latchkey.Console, w.totp(now)), allowed)
	w.wall = now
}

func TestAnAnswerMayTakeItsBudget(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		after time.Duration
		boot  string
		want  error
	}{
		"at once":                 {0, "boot-1", nil},
		"at the end of the time":  {budget + 5*time.Second, "boot-1", nil},
		"a moment after it":       {budget + 5*time.Second + time.Millisecond, "boot-1", logon.ErrSlept},
		"a clock that went back":  {-time.Millisecond, "boot-1", logon.ErrSlept},
		"in another boot":         {0, "boot-2", logon.ErrSlept},
		"later, in another boot":  {time.Second, "boot-2", logon.ErrSlept},
		"after the longest sleep": {1 << 62, "boot-1", logon.ErrSlept},
	} {
		for kind, answer := range answers {
			t.Run(name+", "+kind, func(t *testing.T) {
				t.Parallel()
				w, _ := offline(t, asIs)
				take := answer(w)
				w.boot, w.id = w.boot+tc.after, tc.boot
				if err := take(); !errors.Is(err, tc.want) {
					t.Errorf("error %v, want %v", err, tc.want)
				}
			})
		}
	}
}

func TestEveryInquiryHasItsOwnNonce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	seen := map[string]bool{}
	for range 100 {
		q := w.inquire()
		if len(q.Nonce) != 32 || seen[q.Nonce] {
			t.Fatalf("nonce %q", q.Nonce)
		}
		seen[q.Nonce] = true
	}
	if err := w.v.Contact(w.health("", w.wall), vault.Inquiry{}); !errors.Is(err, vault.ErrForeign) {
		t.Errorf("the answer to no question: %v", err)
	}
}
