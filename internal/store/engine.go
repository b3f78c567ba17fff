package store

import (
	"context"
	"database/sql"
	"time"
)

// An engine is a kind of database. All engines run the same statements; what
// they do not share is here.
type engine interface {
	// open brings the schema up to date. fresh: there was no schema before.
	// Until ready is called, other processes that open the database wait.
	open(ctx context.Context, now time.Time) (fresh bool, err error)
	ready(ctx context.Context) error
	// inTx runs fn in a transaction, as InTx says or as beside says; fn may run
	// again where the engine had to undo it.
	inTx(ctx context.Context, beside bool, fn func(session) error) error
	// query and row read outside of any transaction.
	query(ctx context.Context, scan func(*sql.Rows) error, query string, args ...any) error
	row(ctx context.Context, query string, args ...any) scanner
	// size is in bytes, on the disk.
	size(ctx context.Context) (int64, error)
	// risks are settings that let a power cut take back a commit.
	risks(ctx context.Context) ([]string, error)
	// snapshot copies the database as it is at one moment into an SQLite file.
	snapshot(ctx context.Context, file string) error
	// clock is a query for the time that all servers share; empty where they run
	// on one computer.
	clock() string
	// explain says what an administrator can do about an error of opening.
	explain(err error) error
	close() error
}

// A session is a transaction as its engine sees it. No statement takes a
// context: a caller who goes away still learns what happened.
type session interface {
	affected(query string, args ...any) (int64, error)
	// many is affected for many arguments.
	many(query string, args [][]any) ([]int64, error)
	rows(query string, args ...any) (*sql.Rows, error)
	row(query string, args ...any) scanner
}
