package main

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"latchkey/internal/audit"
	"latchkey/internal/store"
)

func TestAServerIsReadyWhileItCanWriteAndSeal(t *testing.T) {
	t.Parallel()
	at := time.Now()
	clock := func() time.Time { return at }
	db, err := store.Open(t.Context(), store.Config{Dir: filepath.Join(t.TempDir(), "data"), Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	notary, err := audit.NewNotary(db.Keys().Deployment, db.Keys().Signer)
	if err != nil {
		t.Fatal(err)
	}
	s := &serving{db: db, notary: notary, sealer: audit.NewSealer(db, notary, "one", time.Minute, clock)}
	ready := func() error {
		s.probed = time.Time{}
		return s.ready(context.Background())
	}
	if err := ready(); err != nil {
		t.Errorf("a healthy server: %v", err)
	}
	at = at.Add(time.Hour)
	if ready() == nil {
		t.Error("ready, although nothing was sealed for an hour")
	}
	if err := s.sealer.Round(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := ready(); err != nil {
		t.Errorf("sealed again: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if ready() == nil {
		t.Error("ready, although nothing can be written")
	}
}

// Somebody brought the tables up to date for a newer program, although this one
// runs (it stood still for more than a minute): it ends.
func TestAServerWhoseTablesAreANewerOnesEnds(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	synctest.Test(t, func(t *testing.T) {
		db, err := store.Open(t.Context(), store.Config{Dir: dir, Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		ctx, end := context.WithCancelCause(t.Context())
		go (&serving{db: db, holder: "one", end: end}).followKeys(ctx, slog.New(slog.DiscardHandler))
		time.Sleep(10 * ringEvery)
		if ctx.Err() != nil {
			t.Errorf("it ends for no reason: %v", context.Cause(ctx))
		}
		upgraded(t, dir)
		<-ctx.Done()
		if !errors.Is(context.Cause(ctx), store.ErrOvertaken) {
			t.Error(context.Cause(ctx))
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
}

func upgraded(t *testing.T, dir string) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(dir, "latchkey.db")+"?_pragma=busy_timeout(5000)")
	if err == nil {
		_, err = db.Exec("INSERT INTO migrations VALUES (99, 'of tomorrow', 0)")
		err = errors.Join(err, db.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}
