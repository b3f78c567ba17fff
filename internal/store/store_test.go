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
	"latchkey/internal/store/storetest"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// A place is where a server keeps what it knows: on every engine in turn.
type place struct {
	dir, database string
}

func newPlace(t testing.TB) place {
	t.Helper()
	return place{filepath.Join(t.TempDir(), "data"), storetest.Database(t)}
}

func (p place) config() Config {
	return Config{Dir: p.dir, Database: p.database, Now: clockOfNoon}
}

func (p place) open(t testing.TB) *DB {
	t.Helper()
	db, err := Open(t.Context(), p.config())
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

func open(t testing.TB) *DB {
	t.Helper()
	return newPlace(t).open(t)
}

// embeddedAt is a database of SQLite, in either pass.
func embeddedAt(t testing.TB) *DB {
	t.Helper()
	return place{dir: filepath.Join(t.TempDir(), "data")}.open(t)
}

// run does what no server does.
func (p place) run(t *testing.T, query string) {
	t.Helper()
	driver, source := "pgx", p.database
	if source == "" {
		driver, source = "sqlite", dsn(filepath.Join(p.dir, DatabaseFile))
	}
	db, err := sql.Open(driver, source)
	must(t, err)
	_, err = db.Exec(query)
	must(t, err)
	must(t, db.Close())
}

func TestASecondOpeningFindsTheSameServer(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	first := p.open(t).Keys()
	second := p.open(t)
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
		spoil func(t *testing.T, p place)
		want  string
	}{
		"a master key that others can read": {func(t *testing.T, p place) {
			must(t, os.Chmod(filepath.Join(p.dir, MasterKeyFile), 0o644))
		}, "open to other users"},
		"a directory that others can read": {func(t *testing.T, p place) {
			must(t, os.Chmod(p.dir, 0o755))
		}, "open to other users"},
		"a database without its master key": {func(t *testing.T, p place) {
			must(t, os.Remove(filepath.Join(p.dir, MasterKeyFile)))
		}, "is missing"},
		"another master key": {func(t *testing.T, p place) {
			must(t, os.WriteFile(filepath.Join(p.dir, MasterKeyFile), make([]byte, 32), 0o600))
		}, "is not the one that the database was written with"},
		"a short master key": {func(t *testing.T, p place) {
			must(t, os.WriteFile(filepath.Join(p.dir, MasterKeyFile), make([]byte, 31), 0o600))
		}, "does not have 32 bytes"},
		"a newer database": {func(t *testing.T, p place) {
			p.run(t, "INSERT INTO migrations VALUES (99, 'x', 0)")
		}, "newer than this program"},
		"a database of another build": {func(t *testing.T, p place) {
			p.run(t, "UPDATE migrations SET checksum = 'x'")
		}, "another build"},
		"a database of another program": {func(t *testing.T, p place) {
			p.run(t, "DROP TABLE migrations")
		}, "another program"},
		"a file that is no database": {func(t *testing.T, p place) {
			if p.database != "" {
				p.run(t, "DROP TABLE migrations") // it has no file
				return
			}
			must(t, os.WriteFile(filepath.Join(p.dir, DatabaseFile), []byte(strings.Repeat("no database ", 500)), 0o600))
			_ = os.Remove(filepath.Join(p.dir, DatabaseFile+"-wal"))
		}, "atabase"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			db, err := Open(t.Context(), p.config())
			must(t, err)
			must(t, db.Close())
			tc.spoil(t, p)
			db, err = Open(t.Context(), p.config())
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
	db := embeddedAt(t)
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
	db := open(t)
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
	db := open(t)
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
	db := place{dir: dir}.open(t)
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
	db := embeddedAt(t)
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

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
