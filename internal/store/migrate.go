package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"time"

	sqlite3 "modernc.org/sqlite/lib"

	"latchkey"
)

//go:embed schema
var schema embed.FS

// A dialect is what the engines do not share when tables are made.
type dialect struct {
	folder string // of the schema
	begin  string
	hold   string // keeps everybody from reading the migrations until the end
	tables string // counts all tables, and those that are called migrations
	clock  string // a query for the time that all servers share; empty: theirs is one
	script []any  // arguments with which a text of several statements is run
}

var sqliteDialect = dialect{
	folder: "schema/sqlite",
	begin:  "BEGIN IMMEDIATE",
	hold:   "SELECT 1", // nobody else writes anyway
	tables: "SELECT count(*), coalesce(sum(CASE WHEN name = 'migrations' THEN 1 ELSE 0 END), 0) FROM sqlite_master WHERE type = 'table'",
}

// A migration is one numbered file of the schema. A file that was released
// never changes: databases remember its checksum.
type migration struct {
	number   int
	name     string
	script   string
	checksum string
}

func migrations(dir fs.FS, d dialect) ([]migration, error) {
	names, err := fs.Glob(dir, d.folder+"/*.sql") // sorted
	if err != nil {
		return nil, err
	}
	var out []migration
	for i, name := range names {
		script, err := fs.ReadFile(dir, name)
		if err != nil {
			return nil, err
		}
		base := path.Base(name)
		n, err := strconv.Atoi(strings.TrimSuffix(base, ".sql"))
		if err != nil || n != i+1 {
			return nil, fmt.Errorf("schema file %s is not number %d", base, i+1)
		}
		sum := sha256.Sum256(script)
		out = append(out, migration{n, base, string(script), hex.EncodeToString(sum[:])})
	}
	return out, nil
}

// migrate brings the tables up to date in one transaction: a database is of
// one version or the next, never in between.
func migrate(ctx context.Context, conn *sql.Conn, d dialect, now time.Time) error {
	if _, err := conn.ExecContext(ctx, d.begin); err != nil {
		return err
	}
	err := migrateIn(ctx, conn, d, now)
	if err != nil {
		_, undo := conn.ExecContext(ctx, "ROLLBACK")
		return errors.Join(err, undo)
	}
	_, err = conn.ExecContext(ctx, "COMMIT")
	return err
}

func migrateIn(ctx context.Context, conn *sql.Conn, d dialect, now time.Time) error {
	all, err := migrations(schema, d)
	if err != nil {
		return err
	}
	return migrateTo(ctx, conn, d, now, all)
}

func migrateTo(ctx context.Context, conn *sql.Conn, d dialect, now time.Time, all []migration) error {
	done, err := applied(ctx, conn, d)
	if err != nil {
		return err
	}
	if len(done) > len(all) {
		return newerDatabase(len(done), len(all))
	}
	for i, m := range all[:len(done)] {
		if done[i] != m.checksum {
			return latchkey.Errorf(latchkey.Conflict, "the database was made by another build: schema %s differs", m.name)
		}
	}
	if len(done) == len(all) {
		return nil
	}
	if err := unattended(ctx, conn, d, now, len(done)); err != nil {
		return err
	}
	for _, m := range all[len(done):] {
		if err := m.apply(ctx, conn, d, now); err != nil {
			return fmt.Errorf("schema %s: %w", m.name, err)
		}
	}
	return nil
}

func newerDatabase(has, known int) error {
	return latchkey.Errorf(latchkey.Conflict, "the database is newer than this program (schema %d, known up to %d)", has, known).
		WithHint("install the version of Latchkey that wrote it, or a later one")
}

// unattended refuses while a server runs that knows the tables as they are: it
// would write into those of the new version what it should not. From schema 4 on
// servers say that they run. Who says so from now on waits for the end of this
// transaction, and then finds himself overtaken.
func unattended(ctx context.Context, conn *sql.Conn, d dialect, now time.Time, done int) error {
	if done < 4 {
		return nil
	}
	if _, err := conn.ExecContext(ctx, d.hold); err != nil {
		return err
	}
	at := now.UnixMilli()
	if d.clock != "" {
		if err := conn.QueryRowContext(ctx, d.clock).Scan(&at); err != nil {
			return err
		}
	}
	var holder string
	err := conn.QueryRowContext(ctx, attended, at).Scan(&holder)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err == nil {
		err = inUse().WithHint("the tables are to be brought up to date: stop every server of the deployment first")
	}
	return err
}

// applied returns the checksums of the migrations that the database has.
func applied(ctx context.Context, conn *sql.Conn, d dialect) ([]string, error) {
	var tables, ours int
	if err := conn.QueryRowContext(ctx, d.tables).Scan(&tables, &ours); err != nil {
		return nil, err
	}
	if ours == 0 {
		if tables > 0 {
			return nil, latchkey.Errorf(latchkey.Conflict, "the database belongs to another program")
		}
		_, err := conn.ExecContext(ctx, "CREATE TABLE migrations (number BIGINT PRIMARY KEY, checksum TEXT NOT NULL, applied_at BIGINT NOT NULL)")
		return nil, err
	}
	var sums []string
	rows, err := conn.QueryContext(ctx, "SELECT checksum FROM migrations ORDER BY number")
	err = each(rows, err, func(r *sql.Rows) error {
		var s string
		err := r.Scan(&s)
		sums = append(sums, s)
		return err
	})
	return sums, err
}

func (m migration) apply(ctx context.Context, conn *sql.Conn, d dialect, now time.Time) error {
	if _, err := conn.ExecContext(ctx, m.script, d.script...); err != nil {
		return err
	}
	_, err := conn.ExecContext(ctx, "INSERT INTO migrations (number, checksum, applied_at) VALUES ($1, $2, $3)",
		m.number, m.checksum, now.UnixMilli())
	return err
}

// unique reports whether err says that such a row exists already.
func unique(err error) bool {
	return sqliteCode(err) == sqlite3.SQLITE_CONSTRAINT || class(sqlState(err), "23")
}
