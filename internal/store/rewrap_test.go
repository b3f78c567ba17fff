package store

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"latchkey"
	"latchkey/internal/seal"
	"latchkey/internal/secret"
)

// secretsHold opens a database and reads a seed, the signing keys and the CA.
func secretsHold(t *testing.T, p place, a latchkey.AuthenticatorID) Keys {
	t.Helper()
	db, err := Open(t.Context(), p.config())
	must(t, err)
	defer func() { must(t, db.Close()) }()
	_, held, err := db.Token(t.Context(), a)
	must(t, err)
	if code, ok := held.Codes.At(0); !ok || code != 755224 { // RFC 4226, appendix D
		t.Errorf("the seed gives %d", code)
	}
	return db.Keys()
}

func rewrapped(t *testing.T) (place, latchkey.AuthenticatorID, Keys) {
	t.Helper()
	p := newPlace(t)
	db, err := Open(t.Context(), p.config())
	must(t, err)
	u, err := db.AddUser(t.Context(), latchkey.User{Name: "ana", Directory: latchkey.Builtin}, latchkey.Event{Kind: latchkey.UserAdded})
	must(t, err)
	add := func() latchkey.AuthenticatorID {
		a := latchkey.Authenticator{User: u.ID, Kind: latchkey.HOTP, Algorithm: "SHA1", Digits: 6, CreatedAt: clockOfNoon()}
		id, err := db.AddAuthenticator(t.Context(), a, secret.Bytes("12345678901234567890"), 0, latchkey.Event{Kind: latchkey.AuthenticatorAdded})
		must(t, err)
		return id
	}
	gone, id := add(), add()
	must(t, db.RemoveAuthenticator(t.Context(), u.ID, gone, latchkey.Event{Kind: latchkey.AuthenticatorRemoved}))
	withdrawn, err := db.AnnounceKey(t.Context(), latchkey.Event{Kind: latchkey.KeyAnnounced})
	must(t, err)
	must(t, db.RetireKey(t.Context(), withdrawn, false, latchkey.Event{Kind: latchkey.KeyRetired}))
	_, err = db.AnnounceKey(t.Context(), latchkey.Event{Kind: latchkey.KeyAnnounced})
	must(t, err)
	k := db.Keys()
	must(t, db.Close())
	return p, id, k
}

// The power may fail after each line: the database opens, under one key or the
// other, and the change can be made again.
func TestAChangeOfTheMasterKeySurvivesAPowerCutAnywhere(t *testing.T) {
	t.Parallel()
	cut := errors.New("power cut")
	type step func(db *DB, path string, next **seal.Wrapper) error
	steps := []step{
		func(db *DB, path string, next **seal.Wrapper) (err error) {
			*next, err = newMaster(path, db.rand)
			return err
		},
		func(db *DB, _ string, next **seal.Wrapper) error {
			_, err := db.rewrap(context.Background(), *next, latchkey.Event{Kind: latchkey.MasterKeyChanged})
			return err
		},
		func(_ *DB, path string, next **seal.Wrapper) error { return os.Link(path, path+oldKey+(*next).ID()) },
		func(_ *DB, path string, _ **seal.Wrapper) error { return os.Rename(path+nextKey, path) },
		func(*DB, string, **seal.Wrapper) error { return cut },
	}
	for done := range steps {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			p, id, before := rewrapped(t)
			path := p.config().keyPath()
			old, err := os.ReadFile(path)
			must(t, err)
			db, err := Open(t.Context(), p.config())
			must(t, err)
			var next *seal.Wrapper
			for _, s := range steps[:done] {
				must(t, s(db, path, &next))
			}
			must(t, db.Close())
			if k := secretsHold(t, p, id); k.Deployment != before.Deployment || !k.Signer.Equal(before.Signer) || !k.CA.Equal(before.CA) {
				t.Error("the keys are others")
			}
			was, n, err := Rewrap(t.Context(), p.config(), latchkey.Event{Kind: latchkey.MasterKeyChanged})
			must(t, err)
			if n != 7 { // state, CA, two signing keys, a retired one, the head of the trail and a seed
				t.Errorf("%d secrets", n)
			}
			secretsHold(t, p, id)
			now, err := os.ReadFile(path)
			must(t, err)
			if string(now) == string(old) {
				t.Error("the key is the old one")
			}
			if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%v, %v", info.Mode(), err)
			}
			if _, err := os.Stat(was); err != nil {
				t.Error(err)
			}
			if left, _ := filepath.Glob(path + nextKey); len(left) != 0 {
				t.Errorf("left behind: %v", left)
			}
			must(t, os.WriteFile(path, old, 0o600))
			if _, err := Open(t.Context(), p.config()); latchkey.CodeOf(err) != latchkey.Conflict || !strings.Contains(err.Error(), "is not the one") {
				t.Errorf("with the key from before: %v", err)
			}
		})
	}
}

func TestTheMasterKeyOfARunningServerStays(t *testing.T) {
	t.Parallel()
	p, id, _ := rewrapped(t)
	db, err := Open(t.Context(), p.config())
	must(t, err)
	must(t, db.Attend(t.Context(), "one", time.Minute))
	if _, _, err := Rewrap(t.Context(), p.config(), latchkey.Event{Kind: latchkey.MasterKeyChanged}); latchkey.CodeOf(err) != latchkey.Busy {
		t.Errorf("while it runs: %v", err)
	}
	secretsHold(t, p, id)
	must(t, db.Leave(t.Context(), "one"))
	must(t, db.Close())
	if _, _, err := Rewrap(t.Context(), p.config(), latchkey.Event{Kind: latchkey.MasterKeyChanged}); err != nil {
		t.Errorf("after its end: %v", err)
	}
	secretsHold(t, p, id)
}
