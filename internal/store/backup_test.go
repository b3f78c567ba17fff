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
)

func clockOfNoon() time.Time { return noon }

// backedUp is a database with one user, and a backup of it with its key.
func backedUp(t *testing.T) (db *DB, dir, file string) {
	t.Helper()
	top := t.TempDir()
	dir, file = filepath.Join(top, "data"), filepath.Join(top, "backup")
	db = open(t, dir)
	if _, err := db.AddUser(t.Context(), latchkey.User{Name: "ana", Directory: latchkey.Builtin}, latchkey.Event{Kind: latchkey.UserAdded}); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Backup(t.Context(), file, filepath.Join(dir, MasterKeyFile)); err != nil {
		t.Fatal(err)
	}
	return db, dir, file
}

func TestABackupOfARunningServerComesBack(t *testing.T) {
	t.Parallel()
	db, dir, file := backedUp(t)
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	to := filepath.Join(t.TempDir(), "new")
	if _, _, err := (Restore{File: file, Dir: to, Now: clockOfNoon}).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	back := open(t, to)
	if _, err := back.UserNamed(t.Context(), "ANA"); err != nil {
		t.Error(err)
	}
	if k := back.Keys(); k.Epoch != db.Keys().Epoch+1 || !k.Signer.Equal(db.Keys().Signer) {
		t.Errorf("epoch %d", k.Epoch)
	}
	for _, d := range []string{to, filepath.Dir(file)} {
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
	_ = dir
}

func TestWhatRestoreRefuses(t *testing.T) {
	t.Parallel()
	_, dir, file := backedUp(t)
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
		"a database that is there":      {func(_ *testing.T, r *Restore) { r.Dir = dir }, "there is a database"},
		"a server that runs": {func(_ *testing.T, r *Restore) {
			r.Dir, r.Replace = dir, true
		}, "a server is using"},
		"another deployment": {func(t *testing.T, r *Restore) {
			r.Dir, r.Replace = filepath.Join(t.TempDir(), "other"), true
			db, err := Open(t.Context(), Config{Dir: r.Dir, Now: clockOfNoon})
			must(t, err)
			must(t, db.Close())
		}, "another deployment"},
		"another master key": {func(t *testing.T, r *Restore) {
			r.KeyFile = filepath.Join(t.TempDir(), "key")
			must(t, os.WriteFile(r.KeyFile, make([]byte, 32), 0o600))
		}, "the server's keys"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := Restore{File: file, Dir: filepath.Join(t.TempDir(), "new"), Now: clockOfNoon}
			tc.spoil(t, &r)
			_, _, err := r.Run(t.Context())
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("%v, want %q", err, tc.want)
			}
			if _, err := os.Stat(filepath.Join(r.Dir, DatabaseFile)); r.Dir != dir && name != "another deployment" && err == nil {
				t.Error("something was put in place")
			}
		})
	}
}

func TestARestoreSetsAsideWhatWasThere(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	dir, file := filepath.Join(top, "data"), filepath.Join(top, "backup")
	db, err := Open(t.Context(), Config{Dir: dir, Now: clockOfNoon})
	must(t, err)
	_, err = db.Backup(t.Context(), file, "") // without the key: it is in the directory
	must(t, err)
	must(t, db.Close())
	raw, err := os.ReadFile(file)
	must(t, err)
	key, err := os.ReadFile(filepath.Join(dir, MasterKeyFile))
	must(t, err)
	if bytes.Contains(raw, key) {
		t.Error("the master key is in a backup that was made without it")
	}
	if _, _, err := (Restore{File: file, Dir: filepath.Join(top, "empty"), Now: clockOfNoon}).Run(t.Context()); latchkey.CodeOf(err) != latchkey.NotFound {
		t.Errorf("without a key: %v", err)
	}
	_, aside, err := Restore{File: file, Dir: dir, Replace: true, Now: clockOfNoon}.Run(t.Context())
	must(t, err)
	if _, err := os.Stat(filepath.Join(aside, DatabaseFile)); err != nil {
		t.Error(err)
	}
	if k := open(t, dir).Keys(); k.Epoch != 2 {
		t.Errorf("epoch %d", k.Epoch)
	}
}
