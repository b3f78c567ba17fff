// Package store keeps everything that the server knows: users, machines,
// authenticators, policies and the audit trail, in one database.
//
// It refuses to decide. It also refuses silent changes: every method that
// changes something takes the event that tells of it and writes both in one
// transaction. Secrets are stored wrapped under the master key, which is not in
// the database.
package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"latchkey"
	"latchkey/internal/seal"
)

// Names of the files in the data directory.
const (
	DatabaseFile  = "latchkey.db"
	MasterKeyFile = "master.key"
)

// Config says where a database is and what it runs on.
type Config struct {
	Dir     string // the data directory; created if absent, mode 0700
	KeyFile string // the master key; Dir/master.key where empty

	Database string // a postgres:// address; where empty, the database is in Dir
	Existing bool   // refuse to make a deployment where there is none

	Now  func() time.Time // for what is stored
	Rand io.Reader        // nil: the system's
}

// A DB is an open database. It is safe for concurrent use.
type DB struct {
	now  func() time.Time
	rand io.Reader
	dir  string
	on   engine
	wrap *seal.Wrapper

	policies policyCache
	settled  atomic.Uint64 // answers, since the start
	last     atomic.Uint64 // moment of the event named last
	keys     sync.Map      // machines' identity key to id; neither ever changes
	identity Keys
	ring     atomic.Pointer[seal.Ring]
	head     atomic.Pointer[head] // of the audit chain, as it was seen last
}

// Open opens the database in a directory and brings its tables up to date. The
// first time it makes the directory, the master key, the server's keys and the
// policy "default". Errors are written for the administrator at the console.
func Open(ctx context.Context, c Config) (*DB, error) {
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	if c.KeyFile == "" {
		c.KeyFile = filepath.Join(c.Dir, MasterKeyFile)
	}
	on, err := newEngine(c)
	if err != nil {
		return nil, err
	}
	db := &DB{now: c.Now, rand: c.Rand, dir: c.Dir, on: on}
	if err = makeDir(c.Dir); err == nil {
		err = db.open(ctx, c.KeyFile)
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

func newEngine(c Config) (engine, error) {
	if c.Database != "" {
		return newNetworked(c)
	}
	path := filepath.Join(c.Dir, DatabaseFile)
	if _, err := os.Stat(path); c.Existing && errors.Is(err, fs.ErrNotExist) {
		return nil, latchkey.Errorf(latchkey.NotFound, "there is no database in %s", c.Dir)
	}
	return &embedded{path: path}, nil
}

func (db *DB) open(ctx context.Context, keyFile string) error {
	fresh, err := db.on.open(ctx, db.now())
	if err != nil {
		return err
	}
	if db.wrap, err = masterKey(keyFile, db.rand, fresh); err != nil {
		return err
	}
	if db.wrap, err = db.fitting(ctx, keyFile, db.wrap); err != nil {
		return err
	}
	if err := db.prepare(ctx); err != nil {
		return db.on.explain(err)
	}
	return db.on.ready(ctx)
}

// prepare makes what a new deployment begins with and loads the server's keys.
func (db *DB) prepare(ctx context.Context) error {
	if err := db.makeKeys(ctx); err != nil {
		return err
	}
	if err := db.foldNames(ctx); err != nil {
		return fmt.Errorf("folding names: %w", err)
	}
	return db.makeDefaultPolicy(ctx)
}

// Close waits for the transactions that are under way and closes the database.
func (db *DB) Close() error { return db.on.close() }

// Dir is the data directory.
func (db *DB) Dir() string { return db.dir }

// newID returns a random id with a prefix: 16 bytes in hex.
func (db *DB) newID(prefix string) (string, error) {
	var b [16]byte
	if _, err := io.ReadFull(db.rand, b[:]); err != nil {
		return "", fmt.Errorf("naming a row: %w", err)
	}
	return fmt.Sprintf("%s_%x", prefix, b), nil
}

// millis is how a time is stored; nil for the zero time.
func millis(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UnixMilli()
}

// timeOf reads a stored time; the zero time where there is none.
func timeOf(ms sql.NullInt64) time.Time {
	if !ms.Valid {
		return time.Time{}
	}
	return time.UnixMilli(ms.Int64).UTC()
}

// found turns the absence of a row into an error with a code.
func found(err error, what string, args ...any) error {
	if errors.Is(err, sql.ErrNoRows) {
		return latchkey.Errorf(latchkey.NotFound, what, args...)
	}
	return err
}

func makeDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("making the data directory: %w", err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("looking at the data directory: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return latchkey.Errorf(latchkey.Invalid, "the data directory %s is open to other users (mode %04o)", dir, info.Mode().Perm()).
			WithHint("chmod 0700 %s", dir)
	}
	return nil
}
