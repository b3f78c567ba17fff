package store

import (
	"testing"
	"time"
)

// Events that are written together are read in the order they were written,
// also where the clock stands still or goes back.
func TestEventsAreNamedInTheirOrder(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	db := &DB{now: func() time.Time { at = at.Add(-time.Second); return at }, rand: zeros{}}
	last := ""
	for range 1000 {
		id, err := db.EventID()
		if err != nil || id <= last {
			t.Fatalf("%s after %s: %v", id, last, err)
		}
		last = id
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }
