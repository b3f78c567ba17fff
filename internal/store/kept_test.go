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
	"latchkey/internal/fleet"
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

// Whatever ends a token or an authenticator ends the answers that may show it.
func TestEveryEndOfATokenOrAnAuthenticatorEndsTheAnswers(t *testing.T) {
	t.Parallel()
	db, e, ctx := open(t), latchkey.Event{Kind: latchkey.AdminReset}, t.Context()
	for _, name := range []string{"root", "second"} {
		must(t, db.CreateAdmin(ctx, name, latchkey.Owner, []byte(name+", hash of a token"), e))
	}
	ana, err := db.AddUser(ctx, latchkey.User{Name: "ana", Directory: latchkey.Builtin}, e)
	must(t, err)
	bob, err := db.AddUser(ctx, latchkey.User{Name: "bob", Directory: latchkey.Builtin}, e)
	must(t, err)
	totp := latchkey.Authenticator{User: ana.ID, Kind: latchkey.TOTP, Algorithm: "SHA1", Digits: 6, Period: 30, CreatedAt: noon}
	id, err := db.AddAuthenticator(ctx, totp, secret.Bytes("12345678901234567890"), 0, e)
	must(t, err)
	must(t, db.CreateMachineToken(ctx, fleet.Ticket{Hash: []byte("ticket"), Uses: 1, ExpiresAt: noon.Add(time.Hour)}, e))
	tickets, err := db.MachineTokens(ctx)
	must(t, err)
	for name, end := range map[string]func() error{
		"admin reset":          func() error { return db.ResetAdmin(ctx, "root", []byte("another"), e) },
		"admin disable":        func() error { return db.DisableAdmin(ctx, "second", e) },
		"authenticator remove": func() error { return db.RemoveAuthenticator(ctx, ana.ID, id, e) },
		"user delete":          func() error { return db.DeleteUser(ctx, bob.ID, e) },
		"machine token revoke": func() error { return db.RevokeMachineToken(ctx, tickets[0].ID, e) },
	} {
		answered(t, db, name)
		must(t, end())
		var left int
		must(t, db.on.row(ctx, "SELECT count(*) FROM requests WHERE wrapped IS NOT NULL").Scan(&left))
		if left > 0 {
			t.Errorf("after %s, %d answers are left", name, left)
		}
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
	if status, _, err := db.ClaimRequest(t.Context(), []byte("key"), []byte("command")); status != 0 || latchkey.CodeOf(err) != latchkey.Interrupted {
		t.Errorf("the command whose answer is forgotten: %d, %v", status, err)
	}
	noon := db.now()
	db.now = func() time.Time { return noon.Add(requestsKept - time.Second) }
	must(t, db.ForgetRequests(t.Context()))
	if n := left(""); n != 1 {
		t.Errorf("%d commands within the day", n)
	}
	db.now = func() time.Time { return noon.Add(requestsKept + 2*requestLife) }
	must(t, db.ForgetRequests(t.Context()))
	if n := left(""); n != 0 {
		t.Errorf("%d commands after the day", n)
	}
}
