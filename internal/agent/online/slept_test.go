package online

import (
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"latchkey"
	"latchkey/internal/api"
	"latchkey/internal/logon"
)

// D08: a laptop whose lid is closed while an answer is on its way reads it days
// later, and no timer has noticed. Its signed time must not be taken for now.
func TestAnAnswerFromBeforeASleepIsNotBelieved(t *testing.T) {
	t.Parallel()
	var boot atomic.Int64
	var sleep time.Duration
	var w *world
	w = newWorld(t, func(rw http.ResponseWriter, r *http.Request) {
		boot.Add(int64(sleep))
		reply(rw, api.Turn{Verdict: w.verdict(t, r, api.Verdict{Outcome: latchkey.Denied, Reason: latchkey.AccountDisabled})})
	}, func(w *world) { w.Boot = func() time.Duration { return time.Duration(boot.Load()) } })
	if _, err := w.Begin(t.Context(), ana); err != nil {
		t.Fatalf("without a sleep: %v", err)
	}
	sleep = 13 * 24 * time.Hour
	if _, err := w.Begin(t.Context(), ana); !errors.Is(err, logon.ErrUnreachable) {
		t.Errorf("after a sleep: %v, want unreachable", err)
	}
	if got := w.notes.String(); got != "absorb deny" {
		t.Errorf("the vault was told %q", got)
	}
}
