package store_test

import (
	"path/filepath"
	"testing"
	"time"

	"latchkey"
	"latchkey/internal/secret"
	"latchkey/internal/store"
)

// A server that died between a command and its answer must not carry it out
// again: nobody knows whether it was.
func TestACommandThatWasCutOffIsNeverCarriedOutTwice(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	config := store.Config{Dir: filepath.Join(t.TempDir(), "data"), Now: func() time.Time { return now }}
	open := func() *store.DB {
		db, err := store.Open(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		return db
	}
	claim := func(db *store.DB, id, command string) (int, string, latchkey.Code) {
		status, answer, err := db.ClaimRequest(t.Context(), []byte(id), []byte(command))
		return status, string(answer), latchkey.CodeOf(err)
	}
	expect := func(what string, status int, answer string, code latchkey.Code, wantStatus int, want string, wantCode latchkey.Code) {
		t.Helper()
		if status != wantStatus || answer != want || code != wantCode {
			t.Errorf("%s: %d %q %q", what, status, answer, code)
		}
	}
	db := open()
	s, a, c := claim(db, "1", "x")
	expect("a new one", s, a, c, 0, "", "")
	s, a, c = claim(db, "1", "x")
	expect("under way", s, a, c, 0, "", latchkey.InProgress)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = open()
	defer db.Close()
	now = now.Add(2 * time.Minute)
	s, a, c = claim(db, "1", "x")
	expect("cut off", s, a, c, 0, "", latchkey.Interrupted)
	s, a, c = claim(db, "1", "y")
	expect("another command", s, a, c, 0, "", latchkey.KeyReused)

	s, a, c = claim(db, "2", "x")
	expect("another key", s, a, c, 0, "", "")
	if err := db.AnswerRequest(t.Context(), []byte("2"), 201, secret.Bytes("made")); err != nil {
		t.Fatal(err)
	}
	now = now.Add(23 * time.Hour)
	s, a, c = claim(db, "2", "x")
	expect("answered", s, a, c, 201, "made", "")
	now = now.Add(2 * time.Hour)
	s, a, c = claim(db, "2", "x")
	expect("a day later", s, a, c, 0, "", "")
}
