package store

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"latchkey"
)

const (
	// maxTries bounds how often a transaction runs; with the pauses between, about
	// a second and a half.
	maxTries = 12
	// longestPause between two tries.
	longestPause = 250 * time.Millisecond
	// longestTx ends a transaction whose server does not answer any more. It is
	// above all limits that the sessions have.
	longestTx = 15 * time.Second
)

// errBroken is a connection that broke.
var errBroken = errors.New("the connection to the database broke")

// errOver is what statements return behind one that failed: PostgreSQL would
// refuse them too. It never reaches a caller.
var errOver = errors.New("the transaction has failed already")

// turnLock is the advisory lock of transactions that take turns: "ltchkt" in
// ASCII.
const turnLock = 0x6c7463686b74

// inTx runs fn at the isolation READ COMMITTED, in one of two ways.
//
// Transactions take turns, over all servers: each holds one advisory lock to its
// end, and every statement behind it sees all that was committed before. That is
// what SQLite's single writer gives, so that a decision in fn may rest on what fn
// read: is this the last owner, has the user room for one more? It is the way of
// everything that is rare.
//
// Those beside (logins, reports, sealing) take no turn. All that they rest on is
// a condition in the statement that writes: PostgreSQL checks it again after it
// waited for another transaction's row (manual, 13.2.1), and where it is not met
// no row is changed and the caller judges anew. ON CONFLICT clauses wait in the
// same way, and an error about a duplicate (23505) means one.
//
// SERIALIZABLE would give the first promise to all; but it watches pages of
// indexes, and undid so many logins that had nothing to do with each other that
// a busy server ran out of tries. What PostgreSQL still undoes (40P01, deadlock)
// and what broke before its COMMIT runs again a bounded number of times.
//
// Whether a COMMIT that met a broken connection took place is not known. It is
// not repeated: fn might do its work twice. The caller gets an error, grants
// nothing, and asks again: what was settled is found under the answer's name.
func (n *networked) inTx(ctx context.Context, beside bool, fn func(session) error) error {
	var err error
	for try := range maxTries {
		if err := pause(ctx, try); err != nil {
			return err
		}
		var v verdict
		if v, err = n.attempt(ctx, beside, fn); v == final {
			return err
		}
	}
	return n.trouble(err)
}

// A verdict says what to do with a transaction that ended.
type verdict int

const (
	final  verdict = iota // committed, or an error that stays
	undone                // nothing was written: it may run again
)

// pause waits before another try, longer each time, and not as long as others
// that met the same.
func pause(ctx context.Context, try int) error {
	if try == 0 {
		return ctx.Err()
	}
	most := min(longestPause, 2*time.Millisecond<<try)
	timer := time.NewTimer(most/4 + rand.N(most))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// attempt runs fn once. The context of the caller ends with the wait for a
// connection.
func (n *networked) attempt(ctx context.Context, beside bool, fn func(session) error) (verdict, error) {
	conn, err := n.write.Conn(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return final, ctx.Err()
		}
		return judged(err), n.trouble(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), longestTx)
	defer cancel()
	tx, err := conn.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return judged(broke(conn, err)), n.trouble(err)
	}
	d := &dialogue{ctx: ctx, conn: conn, tx: tx}
	if err := guarded(func() error { return d.run(beside, fn) }); err != nil || d.failed != nil {
		cause := cmp.Or(d.failed, err)
		_ = tx.Rollback() // a broken connection is one too
		return judged(cause), n.trouble(first(err, d.failed))
	}
	return committed(n, conn, tx.Commit())
}

// committed words the end of a transaction.
func committed(n *networked, conn *sql.Conn, err error) (verdict, error) {
	switch {
	case err == nil:
		return final, nil
	case judged(err) == undone && sqlState(err) != "" && !away(err):
		return undone, err
	case class(sqlState(err), "23"), errors.Is(err, pgx.ErrTxCommitRollback), errors.Is(err, sql.ErrTxDone):
		return final, fmt.Errorf("committing: %w", err)
	}
	return final, fmt.Errorf("%w: %w", latchkey.Errorf(latchkey.Unknown, "the database went away while a change was written: it is not known whether it is there").
		WithHint("look, and try again"), broke(conn, err))
}

// judged says whether what failed before its COMMIT may run again.
func judged(err error) verdict {
	switch state := sqlState(err); {
	case errors.Is(err, context.DeadlineExceeded):
		return final // nobody waits that long twice
	case state == "40001", state == "40P01": // serialization failure, deadlock
		return undone
	case away(err):
		return undone
	}
	return final
}

// A dialogue is one transaction on one connection.
type dialogue struct {
	ctx    context.Context
	conn   *sql.Conn
	tx     *sql.Tx
	failed error // of the first statement that failed
}

// run waits for its turn first.
func (d *dialogue) run(beside bool, fn func(session) error) error {
	if !beside {
		if _, err := d.affected("SELECT pg_advisory_xact_lock($1)", int64(turnLock)); err != nil {
			return err
		}
	}
	return fn(d)
}

func (d *dialogue) affected(query string, args ...any) (int64, error) {
	if d.failed != nil {
		return 0, errOver
	}
	res, err := d.tx.ExecContext(d.ctx, query, args...)
	if err != nil {
		return 0, d.fail(err)
	}
	return res.RowsAffected()
}

// many sends all statements before it waits for the first answer.
func (d *dialogue) many(query string, args [][]any) (counts []int64, err error) {
	if d.failed != nil {
		return nil, errOver
	}
	var batch pgx.Batch
	for _, a := range args {
		batch.Queue(query, a...).Exec(func(t pgconn.CommandTag) error {
			counts = append(counts, t.RowsAffected())
			return nil
		})
	}
	err = d.conn.Raw(func(c any) error { return c.(*stdlib.Conn).Conn().SendBatch(d.ctx, &batch).Close() })
	return counts, d.fail(err)
}

func (d *dialogue) rows(query string, args ...any) (*sql.Rows, error) {
	if d.failed != nil {
		return nil, errOver
	}
	rows, err := d.tx.QueryContext(d.ctx, query, args...)
	return rows, d.fail(err)
}

func (d *dialogue) row(query string, args ...any) scanner {
	if d.failed != nil {
		return broken{errOver}
	}
	return line{d.tx.QueryRowContext(d.ctx, query, args...), d.fail}
}

// fail remembers an error after which PostgreSQL takes no more statements.
func (d *dialogue) fail(err error) error {
	if err == nil || errors.Is(err, sql.ErrNoRows) {
		return err
	}
	err = broke(d.conn, err)
	if sqlState(err) != "" || errors.Is(err, errBroken) {
		d.failed = err
	}
	return err
}

// broke marks an error after which the connection is gone.
func broke(conn *sql.Conn, err error) error {
	gone := errors.Is(err, driver.ErrBadConn) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF)
	if !gone {
		look := conn.Raw(func(c any) error {
			gone = c.(*stdlib.Conn).Conn().IsClosed()
			return nil
		})
		gone = gone || look != nil
	}
	if !gone || sqlState(err) != "" {
		return err
	}
	return fmt.Errorf("%w: %w", errBroken, err)
}

// first is what fn returned, without what follows from the statement that
// failed; that statement's error where fn said nothing.
func first(err, failed error) error {
	if !errors.Is(err, errOver) {
		return cmp.Or(err, failed)
	}
	if all, joined := err.(interface{ Unwrap() []error }); joined {
		for _, e := range all.Unwrap() {
			if !errors.Is(e, errOver) {
				return e
			}
		}
	}
	return failed
}
