package store

import (
	"context"
	"database/sql"
	"errors"
)

// A scanner is one row that was asked for.
type scanner interface{ Scan(dest ...any) error }

// broken is the row of a statement that could not be prepared.
type broken struct{ err error }

// Scan returns the error.
func (b broken) Scan(...any) error { return b.err }

// query reads rows outside of any transaction, and calls scan for each.
func (db *DB) query(ctx context.Context, scan func(*sql.Rows) error, query string, args ...any) error {
	return db.on.query(ctx, scan, query, args...)
}

// A looker is an engine that has a place where reading what was written last is
// cheaper than elsewhere.
type looker interface {
	// look reads rows as query does: what is committed, and nothing else.
	look(ctx context.Context, scan func(scanner) error, query string, args ...any) error
}

// latest reads rows as query does, at that place where there is one. scan may
// not wait for anything: transactions wait for it.
func (db *DB) latest(ctx context.Context, scan func(scanner) error, query string, args ...any) error {
	if l, ok := db.on.(looker); ok {
		return l.look(ctx, scan, query, args...)
	}
	return db.query(ctx, func(r *sql.Rows) error { return scan(r) }, query, args...)
}

// row reads one row; sql.ErrNoRows where there is none.
func (db *DB) row(ctx context.Context, query string, args ...any) scanner {
	return db.on.row(ctx, query, args...)
}

func each(rows *sql.Rows, err error, scan func(*sql.Rows) error) error {
	if err != nil {
		return err
	}
	for rows.Next() {
		if err := scan(rows); err != nil {
			return errors.Join(err, rows.Close())
		}
	}
	return errors.Join(rows.Err(), rows.Close())
}
