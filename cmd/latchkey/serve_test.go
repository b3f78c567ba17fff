package main

import (
	"context"
	"path/filepath"
	"testing"
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
