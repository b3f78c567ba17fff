package vault_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"latchkey"
	"latchkey/internal/bundle"
)

// crowd is a machine with many users in its ledger.
func crowd(b *testing.B, users int) *world {
	w := newWorld(b)
	w.contact(w.wall)
	for n := range users - 1 {
		u := w.person()
		u.header.User = latchkey.UserID(fmt.Sprintf("u-%d", n))
		u.header.Name, u.sources = fmt.Sprintf("user%d", n), []bundle.Source{hotpSource(b)}
		w.store(u)
	}
	u := w.person()
	u.policy.Offline.Logins = nil
	w.store(u)
	return w
}

// One offline login with the files on the disk: question, answer, one write
// that is durable. p50 is the figure to watch; the mean follows the disk's
// worst moments.
func BenchmarkOfflineLogin(b *testing.B) {
	for _, users := range []int{1, 200} {
		b.Run(fmt.Sprintf("%d users", users), func(b *testing.B) {
			w := crowd(b, users)
			var all []time.Duration
			for b.Loop() {
				w.pass(30 * time.Second)
				if w.wall.Sub(start) > 6*24*time.Hour { // the codes end with the week
					b.StopTimer()
					w.wall, w.version = start, w.version+1
					w.v.Close()
					w.box.Close()
					w = crowd(b, users)
					b.StartTimer()
				}
				code := w.totp(w.wall)
				began := time.Now()
				got := w.login(latchkey.Unlock, code)
				all = append(all, time.Since(began))
				if got != allowed {
					b.Fatal(got)
				}
			}
			slices.Sort(all)
			b.ReportMetric(float64(all[len(all)/2].Microseconds()), "p50-µs")
			b.ReportMetric(float64(all[len(all)*99/100].Microseconds()), "p99-µs")
		})
	}
}

// What an offline login costs beside the disk.
func BenchmarkOfflineQuestion(b *testing.B) {
	w := crowd(b, 200)
	for b.Loop() {
		if w.begin(w.logon(latchkey.Console)).Prompt == nil {
			b.Fatal("no question")
		}
	}
}

// Opening the bundle of a week: the first login after a start.
func BenchmarkOpeningAWeek(b *testing.B) {
	w := crowd(b, 1)
	for b.Loop() {
		b.StopTimer()
		w.restart()
		b.StartTimer()
		if w.begin(w.logon(latchkey.Console)).Prompt == nil {
			b.Fatal("no question")
		}
	}
}
