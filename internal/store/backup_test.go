package store

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"latchkey"
	"latchkey/internal/audit"
	"latchkey/internal/store/storetest"
)

func clockOfNoon() time.Time { return noon }

// backedUp is a database with one user, and a backup of it with its key.
func backedUp(t *testing.T) (db *DB, p place, file string) {
	t.Helper()
	p, file = newPlace(t), filepath.Join(t.TempDir(), "backup")
	db = p.open(t)
	if _, err := db.AddUser(t.Context(), latchkey.User{Name: "ana", Directory: latchkey.Builtin}, latchkey.Event{Kind: latchkey.UserAdded}); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Backup(t.Context(), file, filepath.Join(p.dir, MasterKeyFile)); err != nil {
		t.Fatal(err)
	}
	return db, p, file
}

// restore is a restore of a file into a place.
func (p place) restore(file string) Restore {
	return Restore{File: file, Dir: p.dir, Database: p.database, Now: clockOfNoon}
}

func TestABackupOfARunningServerComesBack(t *testing.T) {
	t.Parallel()
	db, _, file := backedUp(t)
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	to := newPlace(t)
	if _, _, err := to.restore(file).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	back := to.open(t)
	if _, err := back.UserNamed(t.Context(), "ANA"); err != nil {
		t.Error(err)
	}
	if k := back.Keys(); k.Epoch != uint64(noon.Unix())+1 || !k.Signer.Equal(db.Keys().Signer) {
		t.Errorf("epoch %d", k.Epoch)
	}
	for _, d := range []string{to.dir, filepath.Dir(file)} {
		entries, err := os.ReadDir(d)
		must(t, err)
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), ".") {
				t.Errorf("%s was left behind in %s", e.Name(), d)
			}
		}
	}
	if _, err := db.Backup(t.Context(), file, ""); latchkey.CodeOf(err) != latchkey.Conflict {
		t.Errorf("a backup overwrites another: %v", err)
	}
}

func TestWhatRestoreRefuses(t *testing.T) {
	t.Parallel()
	_, p, file := backedUp(t)
	whole, err := os.ReadFile(file)
	must(t, err)
	edited := func(edit func([]byte) []byte) func(t *testing.T, r *Restore) {
		return func(t *testing.T, r *Restore) {
			r.File = filepath.Join(t.TempDir(), "x")
			must(t, os.WriteFile(r.File, edit(bytes.Clone(whole)), 0o600))
		}
	}
	for name, tc := range map[string]struct {
		spoil func(t *testing.T, r *Restore)
		want  string
	}{
		"a file of another kind": {edited(func(b []byte) []byte { return []byte("PRAGMA") }), "no backup of Latchkey"},
		"a format from the future": {edited(func(b []byte) []byte {
			binary.BigEndian.PutUint32(b[len(backupMagic):], 2)
			return b
		}), "newer than this program (format 2"},
		"a format that never was": {edited(func(b []byte) []byte {
			binary.BigEndian.PutUint32(b[len(backupMagic):], 0)
			return b
		}), "damaged"},
		"a schema from the future": {edited(func(b []byte) []byte {
			known, err := migrations(schema, sqliteDialect)
			must(t, err)
			return bytes.Replace(b, fmt.Appendf(nil, `"schema":%d`, len(known)), []byte(`"schema":9`), 1)
		}), "newer than this program (schema 9"},
		"a bit that flipped":            {edited(func(b []byte) []byte { b[len(b)/2] ^= 1; return b }), "damaged"},
		"a bit that flipped in the key": {edited(func(b []byte) []byte { b[len(b)-33] ^= 1; return b }), "damaged"},
		"a checksum that flipped":       {edited(func(b []byte) []byte { b[len(b)-1] ^= 1; return b }), "damaged"},
		"an end that is missing":        {edited(func(b []byte) []byte { return b[:len(b)-1] }), "damaged"},
		"something behind the end":      {edited(func(b []byte) []byte { return append(b, 0) }), "damaged"},
		"a database that is there": {func(_ *testing.T, r *Restore) {
			r.Dir, r.Database = p.dir, p.database
		}, "there is a d"},
		"a server that runs": {func(_ *testing.T, r *Restore) {
			r.Dir, r.Database, r.Replace = p.dir, p.database, true
		}, "a server is using"},
		"another deployment": {func(t *testing.T, r *Restore) {
			other := newPlace(t)
			r.Dir, r.Database, r.Replace = other.dir, other.database, true
			db, err := Open(t.Context(), other.config())
			must(t, err)
			must(t, db.Close())
		}, "another deployment"},
		"another master key": {func(t *testing.T, r *Restore) {
			r.KeyFile = filepath.Join(t.TempDir(), "key")
			must(t, os.WriteFile(r.KeyFile, make([]byte, 32), 0o600))
		}, "is not the one that the database was written with"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newPlace(t).restore(file)
			tc.spoil(t, &r)
			_, _, err := r.Run(t.Context())
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("%v, want %q", err, tc.want)
			}
			if _, err := os.Stat(filepath.Join(r.Dir, DatabaseFile)); r.Dir != p.dir && name != "another deployment" && err == nil {
				t.Error("something was put in place")
			}
		})
	}
}

func TestARestoreSetsAsideWhatWasThere(t *testing.T) {
	t.Parallel()
	p, file := newPlace(t), filepath.Join(t.TempDir(), "backup")
	db, err := Open(t.Context(), p.config())
	must(t, err)
	_, err = db.Backup(t.Context(), file, "") // without the key: it is in the directory
	must(t, err)
	must(t, db.Record(t.Context(), latchkey.Event{Kind: latchkey.ServerStarted, Host: "lost"}))
	must(t, db.Close())
	raw, err := os.ReadFile(file)
	must(t, err)
	key, err := os.ReadFile(filepath.Join(p.dir, MasterKeyFile))
	must(t, err)
	if bytes.Contains(raw, key) {
		t.Error("the master key is in a backup that was made without it")
	}
	if _, _, err := newPlace(t).restore(file).Run(t.Context()); latchkey.CodeOf(err) != latchkey.NotFound {
		t.Errorf("without a key: %v", err)
	}
	r := p.restore(file)
	r.Replace = true
	_, aside, err := r.Run(t.Context())
	must(t, err)
	if p.database == "" {
		if _, err := os.Stat(filepath.Join(aside, DatabaseFile)); err != nil {
			t.Error(err)
		}
	} else {
		p.run(t, "DELETE FROM "+aside+".events WHERE 1 / (SELECT count(*) FROM "+aside+".events WHERE host = 'lost') = 2")
	}
	if k := p.open(t).Keys(); k.Epoch <= db.Keys().Epoch {
		t.Errorf("epoch %d", k.Epoch)
	}
}

// What one engine wrote, the other goes on with: the same rows, and a chain
// that still verifies.
func TestABackupMovesBetweenEngines(t *testing.T) {
	t.Parallel()
	tr := newTrail(t)
	ana, err := tr.AddUser(t.Context(), latchkey.User{Name: "Ána", Directory: latchkey.Builtin, Groups: []string{"a"}}, latchkey.Event{Kind: latchkey.UserAdded})
	must(t, err)
	_, err = tr.AddAuthenticator(t.Context(), latchkey.Authenticator{User: ana.ID, Kind: latchkey.TOTP, Algorithm: "SHA1", Digits: 6, Period: 30, CreatedAt: noon},
		[]byte("12345678901234567890"), 7, latchkey.Event{Kind: latchkey.AuthenticatorAdded, Offline: true})
	must(t, err)
	// Of what was removed an empty secret is left.
	gone, err := tr.AddAuthenticator(t.Context(), latchkey.Authenticator{User: ana.ID, Kind: latchkey.HOTP, Algorithm: "SHA1", Digits: 6, CreatedAt: noon},
		[]byte("12345678901234567891"), 7, latchkey.Event{Kind: "test"})
	must(t, err)
	must(t, tr.RemoveAuthenticator(t.Context(), ana.ID, gone, latchkey.Event{Kind: "test"}))
	tr.grow(38)
	tr.seal()
	tr.grow(3)
	file := filepath.Join(t.TempDir(), "backup")
	_, err = tr.Backup(t.Context(), file, filepath.Join(tr.Dir(), MasterKeyFile))
	must(t, err)
	for name, database := range map[string]string{"to SQLite": "", "to PostgreSQL": storetest.Postgres(t)} {
		t.Run(name, func(t *testing.T) {
			to := place{filepath.Join(t.TempDir(), "data"), database}
			_, _, err := to.restore(file).Run(t.Context())
			must(t, err)
			back := &trail{DB: to.open(t), t: t, notary: tr.notary, now: noon}
			if v := back.verify(); !v.OK || v.Sealed != 43 || v.Unsealed != 4 { // one more tells of the restore
				t.Errorf("%+v %+v", v, v.Broken)
			}
			held, err := back.AuthenticatorsOf(t.Context(), ana.ID)
			if err != nil || len(held) != 1 || held[0].Digits != 6 {
				t.Errorf("%+v, %v", held, err)
			}
			u, err := back.UserNamed(t.Context(), "ÁNA")
			if err != nil || len(u.Groups) != 1 {
				t.Errorf("%+v, %v", u, err)
			}
			events, err := back.Events(t.Context(), audit.Query{Limit: 9, Kind: string(latchkey.AuthenticatorAdded)})
			if err != nil || len(events) != 1 || !events[0].Offline {
				t.Errorf("%+v, %v", events, err)
			}
		})
	}
}
