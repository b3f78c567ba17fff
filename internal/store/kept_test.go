package store

import (
	"bytes"
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"latchkey"
	"latchkey/internal/secret"
)

// answered is a command that was answered with a secret; it returns the secret
// as it is stored.
func answered(t *testing.T, db *DB, id string) (wrapped []byte) {
	t.Helper()
	_, _, err := db.ClaimRequest(t.Context(), []byte(id), []byte("command"))
	must(t, err)
	must(t, db.AnswerRequest(t.Context(), []byte(id), 201, secret.Bytes(strings.Repeat("seed", 200))))
	must(t, db.on.row(t.Context(), "SELECT wrapped FROM requests WHERE id = $1", []byte(id)).Scan(&wrapped))
	return wrapped
}

func TestNoBackupHoldsAnAnswer(t *testing.T) {
	t.Parallel()
	two, _ := networkedAt(t)
	for name, db := range map[string]*DB{"SQLite": embeddedAt(t), "PostgreSQL": two} {
		t.Run(name, func(t *testing.T) {
			wrapped := answered(t, db, "key")
			dir := t.TempDir()
			file := filepath.Join(dir, "backup")
			_, err := db.Backup(t.Context(), file, "")
			must(t, err)
			raw, err := os.ReadFile(file)
			must(t, err)
			if len(wrapped) < 800 || bytes.Contains(raw, wrapped[len(wrapped)-32:]) {
				t.Error("the backup holds the answer")
			}
			_, err = ReadBackup(file, dir)
			must(t, err)
			copied, err := sql.Open("sqlite", swift(filepath.Join(dir, DatabaseFile)))
			must(t, err)
			defer copied.Close()
			n := -1
			must(t, copied.QueryRowContext(t.Context(), "SELECT count(*) FROM requests").Scan(&n))
			if n != 0 {
				t.Errorf("the backup holds %d commands", n)
			}
		})
	}
}

func TestAnAnswerEndsWithWhatItShowed(t *testing.T) {
	t.Parallel()
	db := open(t)
	answered(t, db, "key")
	must(t, db.CreateAdmin(t.Context(), "ana", latchkey.Owner, []byte("hash of her token"), latchkey.Event{Kind: latchkey.AdminCreated}))
	must(t, db.RevokeToken(t.Context(), tokenID([]byte("hash of her token")), "", latchkey.Event{Kind: latchkey.AdminCreated}))
	left := func(where string) (n int) {
		t.Helper()
		must(t, db.on.row(t.Context(), "SELECT count(*) FROM requests"+where).Scan(&n))
		return n
	}
	if left(" WHERE wrapped IS NOT NULL") != 0 || left("") != 1 {
		t.Errorf("%d answers of %d commands are left", left(" WHERE wrapped IS NOT NULL"), left(""))
	}
	if status, _, err := db.ClaimRequest(t.Context(), []byte("key"), []byte("command")); status != 0 || err == nil {
		t.Errorf("the command may be carried out again: %d, %v", status, err)
	}
	noon := db.now()
	db.now = func() time.Time { return noon.Add(requestsKept - time.Second) }
	must(t, db.ForgetRequests(t.Context()))
	if n := left(""); n != 1 {
		t.Errorf("%d commands within the day", n)
	}
	db.now = func() time.Time { return noon.Add(requestsKept + time.Minute) }
	must(t, db.ForgetRequests(t.Context()))
	if n := left(""); n != 0 {
		t.Errorf("%d commands after the day", n)
	}
}
