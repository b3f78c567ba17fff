package store

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"latchkey"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func open(t *testing.T, dir string) *DB {
	t.Helper()
	db, err := Open(t.Context(), Config{Dir: dir, Now: func() time.Time { return noon }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func TestASecondOpeningFindsTheSameServer(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	first := open(t, dir).Keys()
	second := open(t, dir)
	if first.Deployment != second.Keys().Deployment || !first.Signer.Equal(second.Keys().Signer) || !first.CA.Equal(second.Keys().CA) {
		t.Error("the keys differ")
	}
	all, err := second.Policies(t.Context())
	if err != nil || len(all) != 1 || all[0].Name != latchkey.DefaultPolicy {
		t.Errorf("policies %v, %v", all, err)
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		spoil func(t *testing.T, dir string)
		want  string
	}{
		"a master key that others can read": {func(t *testing.T, dir string) {
			must(t, os.Chmod(filepath.Join(dir, MasterKeyFile), 0o644))
		}, "open to other users"},
		"a directory that others can read": {func(t *testing.T, dir string) {
			must(t, os.Chmod(dir, 0o755))
		}, "open to other users"},
		"a database without its master key": {func(t *testing.T, dir string) {
			must(t, os.Remove(filepath.Join(dir, MasterKeyFile)))
		}, "is missing"},
		"another master key": {func(t *testing.T, dir string) {
			must(t, os.WriteFile(filepath.Join(dir, MasterKeyFile), make([]byte, 32), 0o600))
		}, "does not unwrap"},
		"a short master key": {func(t *testing.T, dir string) {
			must(t, os.WriteFile(filepath.Join(dir, MasterKeyFile), make([]byte, 31), 0o600))
		}, "does not have 32 bytes"},
		"a newer database": {func(t *testing.T, dir string) {
			run(t, dir, "INSERT INTO migrations VALUES (99, 'x', 0)")
		}, "newer than this program"},
		"a database of another build": {func(t *testing.T, dir string) {
			run(t, dir, "UPDATE migrations SET checksum = 'x'")
		}, "another build"},
		"a database of another program": {func(t *testing.T, dir string) {
			run(t, dir, "DROP TABLE migrations")
		}, "another program"},
		"a file that is no database": {func(t *testing.T, dir string) {
			must(t, os.WriteFile(filepath.Join(dir, DatabaseFile), []byte(strings.Repeat("no database ", 500)), 0o600))
			_ = os.Remove(filepath.Join(dir, DatabaseFile+"-wal"))
		}, "damaged or no database"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "data")
			db, err := Open(t.Context(), Config{Dir: dir, Now: time.Now})
			must(t, err)
			must(t, db.Close())
			tc.spoil(t, dir)
			db, err = Open(t.Context(), Config{Dir: dir, Now: time.Now})
			if err == nil {
				must(t, db.Close())
				t.Fatal("opened")
			}
			if !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %q does not say %q", err, tc.want)
			}
		})
	}
}

func TestFilesAreTheOwnersAlone(t *testing.T) {
	t.Parallel()
	db := open(t, filepath.Join(t.TempDir(), "data"))
	entries, err := os.ReadDir(db.Dir())
	must(t, err)
	if len(entries) < 3 {
		t.Errorf("only %d files", len(entries))
	}
	for _, e := range entries {
		info, err := e.Info()
		must(t, err)
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %04o", e.Name(), info.Mode().Perm())
		}
	}
}

func TestATransactionIsAllOrNothing(t *testing.T) {
	t.Parallel()
	db := open(t, t.TempDir()+"/data")
	bad := errors.New("bad")
	put := func(name string, result error) func(*Tx) error {
		return func(tx *Tx) error {
			must(t, tx.exec("INSERT INTO meta (name, value) VALUES ($1, '')", name))
			return result
		}
	}
	var wg sync.WaitGroup
	for i := range 100 { // so that batches hold some of both
		wg.Go(func() {
			name, want := "good"+string(rune('A'+i)), error(nil)
			if i%2 == 1 {
				name, want = "bad"+string(rune('A'+i)), bad
			}
			if err := db.InTx(t.Context(), put(name, want)); !errors.Is(err, want) {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	wg.Wait()
	if err := db.InTx(t.Context(), func(*Tx) error { panic("at the disco") }); err == nil || !strings.Contains(err.Error(), "disco") {
		t.Errorf("a panic gave %v", err)
	}
	var good, stray int
	must(t, db.row(t.Context(), "SELECT count(*) FROM meta WHERE name LIKE 'good%'").Scan(&good))
	must(t, db.row(t.Context(), "SELECT count(*) FROM meta WHERE name LIKE 'bad%'").Scan(&stray))
	if good != 50 || stray != 0 {
		t.Errorf("%d of the good and %d of the bad are there", good, stray)
	}
}

func TestACallerWhoLeftChangesNothing(t *testing.T) {
	t.Parallel()
	db := open(t, t.TempDir()+"/data")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := db.InTx(ctx, func(*Tx) error { t.Error("ran"); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestALockedDatabaseSaysSo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir() + "/data"
	db := open(t, dir)
	must(t, db.on.(*embedded).write.exec("PRAGMA busy_timeout = 10"))
	other, err := sql.Open("sqlite", dsn(filepath.Join(dir, DatabaseFile)))
	must(t, err)
	defer other.Close()
	hold, err := other.Begin()
	must(t, err)
	err = db.InTx(t.Context(), func(*Tx) error { return nil })
	if latchkey.CodeOf(errors.Unwrap(err)) != latchkey.Busy && !strings.Contains(err.Error(), "locked by another process") {
		t.Error(err)
	}
	must(t, hold.Rollback())
	must(t, db.InTx(t.Context(), func(*Tx) error { return nil }))
}

func TestAFullDatabaseLosesNothingAndRecovers(t *testing.T) {
	t.Parallel()
	db := open(t, t.TempDir()+"/data")
	must(t, db.on.(*embedded).write.exec("PRAGMA max_page_count = 80"))
	big := strings.Repeat("x", 1<<20)
	put := func(name string) error {
		return db.InTx(t.Context(), func(tx *Tx) error { return tx.exec("INSERT INTO meta (name, value) VALUES ($1, $2)", name, big) })
	}
	if err := put("a"); err == nil || !strings.Contains(err.Error(), "full") {
		t.Fatalf("got %v", err)
	}
	must(t, db.on.(*embedded).write.exec("PRAGMA max_page_count = 100000"))
	must(t, put("b"))
	var n int
	must(t, db.row(t.Context(), "SELECT count(*) FROM meta WHERE value = $1", big).Scan(&n))
	if n != 1 {
		t.Errorf("%d rows", n)
	}
}

func TestSchemaFilesAreNumberedWithoutGaps(t *testing.T) {
	t.Parallel()
	_, err := migrations(fstest.MapFS{"schema/sqlite/0001.sql": {}, "schema/sqlite/0003.sql": {}}, sqliteDialect)
	if err == nil {
		t.Error("a gap was not noticed")
	}
	if _, err := migrations(schema, sqliteDialect); err != nil {
		t.Error(err)
	}
}

func run(t *testing.T, dir, query string) {
	t.Helper()
	db, err := sql.Open("sqlite", dsn(filepath.Join(dir, DatabaseFile)))
	must(t, err)
	_, err = db.Exec(query)
	must(t, err)
	must(t, db.Close())
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
