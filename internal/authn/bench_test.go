package authn_test

import (
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"latchkey"
	"latchkey/internal/otp"
	"latchkey/internal/secret"
)

// BenchmarkLogin is Begin and Answer on the real database, signed, by as many
// callers at once as the name says. Every login is another user's: a user logs
// in once per code.
func BenchmarkLogin(b *testing.B) {
	for _, callers := range []int{1, 8, 32} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			w := newWorld(b)
			const users = 500
			names := make([]string, users)
			for i := range names {
				names[i] = fmt.Sprintf("user%d", i)
				w.totp(w.user(names[i]))
			}
			var n atomic.Int64
			a := w.authn.ForMachine(w.machine)
			start := w.now()
			before := cpu()
			b.ResetTimer()
			parallel(b, callers, func() error {
				i := n.Add(1) - 1
				// Each round over the users is a new time step.
				w.atLeast(start.Add(time.Duration(i/users) * 30 * time.Second))
				step := otp.Step(start, 30) + uint64(i/users)
				code, err := otp.Code(key20, step, otp.SHA1, 6)
				if err != nil {
					return err
				}
				l := w.logon(names[i%users])
				turn, err := a.BeginSigned(w.ctx, "nonce", l)
				if err != nil {
					return err
				}
				if turn.Prompt == nil {
					return fmt.Errorf("login %d: no prompt", i)
				}
				turn, err = a.AnswerSigned(w.ctx, "nonce", l, latchkey.Answer{State: turn.Prompt.State, Value: secret.Bytes(otp.Format(code, 6))})
				if err == nil && turn.Verdict == nil {
					err = fmt.Errorf("login %d: no verdict", i)
				}
				return err
			})
			b.StopTimer()
			b.ReportMetric(float64((cpu()-before).Microseconds())/float64(b.N), "cpu-µs/login")
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "logins/s")
			if ok := w.count(latchkey.VerifiedOnline); ok != b.N {
				b.Errorf("only %d of %d were let in", ok, b.N)
			}
		})
	}
}

// BenchmarkDatabaseAlone is what the database commits when nobody asks it
// anything else: one event in one transaction, by as many callers at once.
func BenchmarkDatabaseAlone(b *testing.B) {
	for _, callers := range []int{1, 8, 32} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			w := newWorld(b)
			u := w.user("ana")
			b.ResetTimer()
			parallel(b, callers, func() error {
				return w.db.UnlockUser(w.ctx, u, latchkey.Event{Time: w.now(), Kind: latchkey.UserUnlocked, User: u})
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commits/s")
		})
	}
}

// BenchmarkFsync is what the disk alone allows.
func BenchmarkFsync(b *testing.B) {
	f, err := os.Create(filepath.Join(b.TempDir(), "f"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	for b.Loop() {
		if _, err := f.WriteAt(make([]byte, 4096), 0); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
	}
}

func parallel(b *testing.B, callers int, do func() error) {
	b.Helper()
	var left atomic.Int64
	left.Store(int64(b.N))
	errs := make(chan error, callers)
	for range callers {
		go func() {
			for left.Add(-1) >= 0 {
				if err := do(); err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	for range callers {
		if err := <-errs; err != nil {
			b.Error(err)
		}
	}
}

func (w *world) atLeast(at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if at.After(w.at) {
		w.at = at
	}
}

// cpu is what this process has used of the processors: on a machine that others
// use too it says more than the clock.
func cpu() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
