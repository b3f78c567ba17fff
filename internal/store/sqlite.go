package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"modernc.org/sqlite" // the embedded database
	sqlite3 "modernc.org/sqlite/lib"

	"latchkey"
)

// readers is how many statements may read at the same time.
const readers = 4

// An embedded is the SQLite database in the data directory. One connection
// writes, a few read.
type embedded struct {
	path     string
	write    *writer
	reads    *sql.DB
	prepared sync.Map // query text to *sql.Stmt on reads
}

func (e *embedded) open(ctx context.Context, now time.Time) (fresh bool, err error) {
	if err := makeFile(e.path); err != nil {
		return false, err
	}
	err = e.connect(ctx, now)
	for began := time.Now(); crowded(err) && time.Since(began) < crowdWait; {
		err = errors.Join(e.leave(), e.connect(ctx, now))
	}
	if err != nil {
		return false, e.explain(err)
	}
	// What was cut off between the tables and the keys is fresh as well, and so is
	// what another process is making just now: they agree on one master key.
	err = e.row(ctx, "SELECT NOT EXISTS (SELECT 1 FROM secrets)").Scan(&fresh)
	return fresh, err
}

// crowdWait is how long the first start tries beside others: while one of them
// makes the file a database with a log, SQLite sends the others away instead of
// letting them wait.
const crowdWait = 2 * time.Second

func crowded(err error) bool {
	code := sqliteCode(err)
	return code == sqlite3.SQLITE_BUSY || code == sqlite3.SQLITE_LOCKED
}

// leave closes what connect has opened.
func (e *embedded) leave() error {
	err := e.close()
	e.write, e.reads = nil, nil
	return err
}

func (e *embedded) connect(ctx context.Context, now time.Time) (err error) {
	if e.write, err = newWriter(ctx, dsn(e.path)); err != nil {
		return err
	}
	if err := migrate(ctx, e.write.conn, sqliteDialect, now); err != nil {
		return err
	}
	// Every commit empties the readers' caches: large ones would be memory for nothing.
	if e.reads, err = sql.Open("sqlite", dsn(e.path)+"&_pragma=query_only(1)&_pragma=cache_size(-2000)"); err != nil {
		return err
	}
	e.reads.SetMaxOpenConns(readers)
	e.reads.SetMaxIdleConns(readers)
	e.write.start()
	return nil
}

// ready has nothing to release: what is made at the first start is made in one
// transaction, or linked into place.
func (e *embedded) ready(context.Context) error { return nil }

func (e *embedded) close() error {
	var errs []error
	if e.write != nil {
		errs = append(errs, e.write.close())
	}
	e.prepared.Range(func(_, s any) bool {
		errs = append(errs, s.(*sql.Stmt).Close())
		return true
	})
	if e.reads != nil {
		errs = append(errs, e.reads.Close())
	}
	return errors.Join(errs...)
}

// inTx gives fn to the one that writes: nothing runs beside it.
func (e *embedded) inTx(ctx context.Context, _ bool, fn func(session) error) error {
	return e.write.do(job{ctx: ctx, run: func() error { return fn(e.write) }})
}

// look implements looker: the connection that writes is the one whose page
// cache outlives a commit.
func (e *embedded) look(ctx context.Context, scan func(scanner) error, query string, args ...any) error {
	return e.write.do(job{ctx: ctx, look: true, run: func() error { return e.write.look(scan, query, args) }})
}

func (e *embedded) query(ctx context.Context, scan func(*sql.Rows) error, query string, args ...any) error {
	s, err := e.statement(ctx, query)
	if err != nil {
		return err
	}
	rows, err := s.QueryContext(ctx, args...)
	return each(rows, err, scan)
}

func (e *embedded) row(ctx context.Context, query string, args ...any) scanner {
	s, err := e.statement(ctx, query)
	if err != nil {
		return broken{err}
	}
	return s.QueryRowContext(ctx, args...)
}

// statement keeps every text prepared: queries are constants, so the map is
// bounded.
func (e *embedded) statement(ctx context.Context, query string) (*sql.Stmt, error) {
	if s, ok := e.prepared.Load(query); ok {
		return s.(*sql.Stmt), nil
	}
	s, err := e.reads.PrepareContext(ctx, query)
	if err != nil {
		return nil, fmt.Errorf("preparing %.60q: %w", query, err)
	}
	if first, loaded := e.prepared.LoadOrStore(query, s); loaded {
		return first.(*sql.Stmt), s.Close()
	}
	return s, nil
}

func (e *embedded) clock() string { return sqliteDialect.clock }

// size counts what is not merged into the database yet, too.
func (e *embedded) size(context.Context) (int64, error) {
	var all int64
	for _, name := range []string{e.path, e.path + "-wal"} {
		info, err := os.Stat(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return 0, err
		}
		all += info.Size()
	}
	return all, nil
}

// risks: every connection brings its own settings.
func (e *embedded) risks(context.Context) ([]string, error) { return nil, nil }

// snapshot copies the database in one read transaction.
func (e *embedded) snapshot(ctx context.Context, file string) error {
	err := once(ctx, dsn(e.path), "VACUUM INTO $1", file)
	if err == nil {
		// Overwritten, and not only marked as free.
		err = once(ctx, swift(file)+"&_pragma=secure_delete(1)", "DELETE FROM "+fleeting)
	}
	return explainBusy(err)
}

// once runs one statement on a connection of its own.
func once(ctx context.Context, dsn, query string, args ...any) error {
	pool, err := sql.Open("sqlite", dsn)
	if err == nil {
		_, err = pool.ExecContext(ctx, query, args...)
		err = errors.Join(err, pool.Close())
	}
	return err
}

// explain says what an administrator can do about an error of Open.
func (e *embedded) explain(err error) error {
	switch sqliteCode(err) {
	case sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT:
		return latchkey.Errorf(latchkey.Conflict, "%s is damaged or no database of Latchkey", e.path).
			WithHint("move the file away, or restore it from a backup")
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN:
		return latchkey.Errorf(latchkey.Forbidden, "%s cannot be written", e.path).
			WithHint("is the program run by the owner of the file?")
	}
	return fmt.Errorf("opening %s: %w", e.path, explainBusy(err))
}

// explainBusy names the two troubles that a running database can have.
func explainBusy(err error) error {
	switch sqliteCode(err) {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return latchkey.Errorf(latchkey.Busy, "the database is locked by another process").
			WithHint("wait, or find who holds it open: a backup, a second server?")
	case sqlite3.SQLITE_FULL:
		return latchkey.Errorf(latchkey.Busy, "the disk of the database is full").WithHint("make room on the disk")
	}
	return err
}

// sqliteCode is the primary result code of an error, or -1.
func sqliteCode(err error) int {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code() & 0xff
	}
	return -1
}

// dsn carries the pragmas: every connection of the pool has them.
func dsn(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	u := url.URL{Scheme: "file", Path: filepath.ToSlash(path)}
	return u.String() + "?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)" +
		"&_pragma=foreign_keys(ON)&_pragma=cache_size(-8000)&_pragma=temp_store(MEMORY)&_txlock=immediate"
}

// swift is dsn for a file that need not outlive a crash, and has no side files.
func swift(path string) string {
	return strings.NewReplacer("(WAL)", "(MEMORY)", "(FULL)", "(OFF)").Replace(dsn(path))
}

// makeFile makes an empty database file that only its owner may read; SQLite
// gives its side files the same mode and owner.
func makeFile(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err == nil {
		err = Give(f)
	} else if errors.Is(err, fs.ErrExist) {
		f, err = os.OpenFile(path, os.O_RDWR, 0)
	}
	if f != nil {
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		return fmt.Errorf("opening the database: %w", err)
	}
	return nil
}
