package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
)

// maxBatch bounds how many transactions share one commit.
const maxBatch = 256

// A writer owns the one connection that writes. It gathers the transactions
// that wait into one commit, each behind a savepoint, and answers after the
// commit: the disk is waited for once for all of them.
type writer struct {
	pool  *sql.DB
	conn  *sql.Conn
	ready map[string]*sql.Stmt
	work  chan job
	done  chan struct{}

	mu     sync.RWMutex // guards closed against sends
	closed bool
}

type job struct {
	ctx    context.Context
	run    func() error
	result chan error
}

func newWriter(ctx context.Context, dsn string) (*writer, error) {
	pool, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, err
	}
	conn, err := pool.Conn(ctx)
	if err != nil {
		return nil, errors.Join(err, pool.Close())
	}
	return &writer{
		pool: pool, conn: conn, ready: map[string]*sql.Stmt{},
		work: make(chan job, maxBatch), done: make(chan struct{}), closed: true,
	}, nil
}

func (w *writer) start() {
	w.closed = false
	go func() {
		defer close(w.done)
		for first := range w.work {
			w.batch(first)
		}
	}()
}

func (w *writer) close() error {
	w.mu.Lock()
	running := !w.closed
	w.closed = true
	w.mu.Unlock()
	if running {
		close(w.work)
		<-w.done
	}
	var errs []error
	for _, s := range w.ready {
		errs = append(errs, s.Close())
	}
	return errors.Join(append(errs, w.conn.Close(), w.pool.Close())...)
}

func (w *writer) send(ctx context.Context, j job) error {
	w.mu.RLock()
	defer w.mu.RUnlock()
	if w.closed {
		return errors.New("database is closed")
	}
	select {
	case w.work <- j:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// batch commits the first job and those that wait behind it together.
func (w *writer) batch(first job) {
	if err := w.exec("BEGIN IMMEDIATE"); err != nil {
		answer([]job{first}, nil, fmt.Errorf("beginning a transaction: %w", explainBusy(err)))
		return
	}
	jobs, results, err := w.gather(first)
	if err == nil {
		err = w.exec("COMMIT")
	}
	if err != nil {
		err = fmt.Errorf("committing: %w", explainBusy(err))
		w.abandon()
	}
	answer(jobs, results, err)
}

// gather runs the first job and those that wait behind it. The error says that
// the transaction of them all is lost.
func (w *writer) gather(first job) (jobs []job, results []error, err error) {
	for next, ok := first, true; ok; next, ok = w.waiting() {
		result, fatal := w.save(next)
		jobs, results = append(jobs, next), append(results, result)
		if fatal != nil || len(jobs) == maxBatch {
			return jobs, results, fatal
		}
	}
	return jobs, results, nil
}

func (w *writer) waiting() (job, bool) {
	select {
	case j, ok := <-w.work:
		return j, ok
	default:
		return job{}, false
	}
}

// answer tells every job its own result, or the error that met them all.
func answer(jobs []job, results []error, all error) {
	for i, j := range jobs {
		switch {
		case all != nil:
			j.result <- all
		default:
			j.result <- results[i]
		}
	}
}

// abandon rolls back a transaction that did not commit. Where it is over
// already (a full disk ends it) there is nothing to do, and the error says so.
func (w *writer) abandon() { _ = w.exec("ROLLBACK") }

// save runs a job behind a savepoint. fatal: the savepoint is gone, and with
// it the transaction of the whole batch.
func (w *writer) save(j job) (result, fatal error) {
	if err := j.ctx.Err(); err != nil {
		return err, nil
	}
	if err := w.exec("SAVEPOINT job"); err != nil {
		return err, err
	}
	if result = guarded(j.run); result != nil {
		if err := w.exec("ROLLBACK TO job"); err != nil {
			return result, errors.Join(result, err)
		}
	}
	return result, w.exec("RELEASE job")
}

// guarded turns a panic into an error: it must not take the transactions of
// others with it.
func guarded(run func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic in a transaction: %v", p)
		}
	}()
	return run()
}

func (w *writer) exec(query string, args ...any) error {
	_, err := w.affected(query, args...)
	return err
}

// affected runs a statement that is kept prepared. It takes no context: a
// caller who goes away would interrupt the transactions of others.
func (w *writer) affected(query string, args ...any) (int64, error) {
	s, err := w.statement(query)
	if err != nil {
		return 0, err
	}
	res, err := s.ExecContext(context.Background(), args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

func (w *writer) statement(query string) (*sql.Stmt, error) {
	if s, ok := w.ready[query]; ok {
		return s, nil
	}
	s, err := w.conn.PrepareContext(context.Background(), query)
	if err != nil {
		return nil, fmt.Errorf("preparing %.60q: %w", query, err)
	}
	w.ready[query] = s
	return s, nil
}

func (w *writer) many(query string, args [][]any) ([]int64, error) {
	var counts []int64
	for _, a := range args {
		n, err := w.affected(query, a...)
		if err != nil {
			return nil, err
		}
		counts = append(counts, n)
	}
	return counts, nil
}

func (w *writer) rows(query string, args ...any) (*sql.Rows, error) {
	s, err := w.statement(query)
	if err != nil {
		return nil, err
	}
	return s.QueryContext(context.Background(), args...)
}

func (w *writer) row(query string, args ...any) scanner {
	s, err := w.statement(query)
	if err != nil {
		return broken{err}
	}
	return s.QueryRowContext(context.Background(), args...)
}
