package store

import (
	"context"
	"database/sql"

	"latchkey"
)

// A Tx is one transaction. What it does becomes visible and durable together
// or not at all.
type Tx struct {
	db *DB
	s  session
}

// InTx runs fn in a transaction and returns once it is durable. An error of fn
// undoes what fn did. fn must not call InTx, and may not wait for anything:
// other transactions wait for it. It may run more than once, where the engine
// had to undo it, and leaves nothing behind that a second run would see. A ctx that ends before fn began stops it;
// later it does not, so that the caller always learns what happened.
//
// Under a context of As nothing is done unless the caller's token is good still.
func (db *DB) InTx(ctx context.Context, fn func(*Tx) error) error {
	return written(ctx, db.on.inTx(ctx, false, func(s session) error {
		t := &Tx{db, s}
		if err := t.admit(ctx); err != nil {
			return err
		}
		return fn(t)
	}))
}

// beside is InTx for what happens at every login and report: where the engine
// can, it runs beside others. All that fn decides must be in the WHERE or the ON
// CONFLICT of the statement that writes; what it reads may be old by then.
func (db *DB) beside(ctx context.Context, fn func(*Tx) error) error {
	return written(ctx, db.on.inTx(ctx, true, func(s session) error { return fn(&Tx{db, s}) }))
}

// exec runs a statement.
func (t *Tx) exec(query string, args ...any) error {
	_, err := t.s.affected(query, args...)
	return err
}

// affected runs a statement and returns how many rows it changed.
func (t *Tx) affected(query string, args ...any) (int64, error) { return t.s.affected(query, args...) }

// one runs a statement that must change exactly one row; otherwise it returns
// an error with the code NotFound.
func (t *Tx) one(what, query string, args ...any) error {
	n, err := t.affected(query, args...)
	if err == nil && n != 1 {
		err = latchkey.Errorf(latchkey.NotFound, "no such %s", what)
	}
	return err
}

// ones is one for many arguments: on a network, all travel together.
func (t *Tx) ones(what, query string, args [][]any) error {
	counts, err := t.s.many(query, args)
	if err != nil {
		return err
	}
	for _, n := range counts {
		if n != 1 {
			return latchkey.Errorf(latchkey.NotFound, "no such %s", what)
		}
	}
	return nil
}

// query runs a statement that returns rows, and calls scan for each.
func (t *Tx) query(scan func(*sql.Rows) error, query string, args ...any) error {
	rows, err := t.s.rows(query, args...)
	return each(rows, err, scan)
}

// row runs a statement that returns one row; sql.ErrNoRows where there is none.
func (t *Tx) row(query string, args ...any) scanner { return t.s.row(query, args...) }
