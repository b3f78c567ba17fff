package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// A scanner is one row that was asked for.
type scanner interface{ Scan(dest ...any) error }

// broken is the row of a statement that could not be prepared.
type broken struct{ err error }

// Scan returns the error.
func (b broken) Scan(...any) error { return b.err }

// query reads rows outside of any transaction, and calls scan for each.
func (db *DB) query(ctx context.Context, scan func(*sql.Rows) error, query string, args ...any) error {
	s, err := db.statement(ctx, query)
	if err != nil {
		return err
	}
	rows, err := s.QueryContext(ctx, args...)
	return each(rows, err, scan)
}

// row reads one row; sql.ErrNoRows where there is none.
func (db *DB) row(ctx context.Context, query string, args ...any) scanner {
	s, err := db.statement(ctx, query)
	if err != nil {
		return broken{err}
	}
	return s.QueryRowContext(ctx, args...)
}

// statement keeps every text prepared: queries are constants, so the map is
// bounded.
func (db *DB) statement(ctx context.Context, query string) (*sql.Stmt, error) {
	if s, ok := db.ready.Load(query); ok {
		return s.(*sql.Stmt), nil
	}
	s, err := db.reads.PrepareContext(ctx, query)
	if err != nil {
		return nil, fmt.Errorf("preparing %.60q: %w", query, err)
	}
	if first, loaded := db.ready.LoadOrStore(query, s); loaded {
		return first.(*sql.Stmt), s.Close()
	}
	return s, nil
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
