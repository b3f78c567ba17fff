package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
)

// maxBatch bounds how many transactions share one commit.
const maxBatch = 256

// A writer owns the one connection that writes. It gathers the transactions
// that wait into one commit and answers after the commit: the disk is waited
// for once for all of them. Between two commits it reads for those who need
// what is newest: every commit empties the page cache of all connections but
// this one.
type writer struct {
	pool  *sql.DB
	conn  *sql.Conn
	ready map[string]*sql.Stmt
	bare  map[string]driver.Stmt // of what is looked at
	work  chan job
	done  chan struct{}

	mu     sync.RWMutex // guards closed against sends
	closed bool
}

// A job is a transaction, or a look at what is committed.
type job struct {
	ctx    context.Context
	look   bool
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
		pool: pool, conn: conn, ready: map[string]*sql.Stmt{}, bare: map[string]driver.Stmt{},
		work: make(chan job, maxBatch), done: make(chan struct{}), closed: true,
	}, nil
}

func (w *writer) start() {
	w.closed = false
	go func() {
		defer close(w.done)
		for first := range w.work {
			if first.look {
				first.result <- guarded(first.run)
				continue
			}
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
	for _, s := range w.bare {
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

// do sends a job and waits for its result.
func (w *writer) do(j job) error {
	j.result = make(chan error, 1)
	if err := w.send(j.ctx, j); err != nil {
		return err
	}
	return <-j.result
}

// batch commits the first job and those that wait behind it together. Most
// transactions succeed: they are run one after the other, and only where one of
// them fails are all undone and run again, each behind a savepoint of its own.
func (w *writer) batch(first job) {
	b := &batch{jobs: []job{first}}
	err := w.transact(func() error { return w.gather(b) })
	if errors.Is(err, errFailed) {
		err = w.transact(func() error { return w.repeat(b) })
	}
	b.answer(err)
}

// A batch is the jobs of one commit.
type batch struct {
	jobs    []job
	results []error // of each job
	looks   []job   // came meanwhile, and wait for the commit
	patient bool    // it was waited for more
}

// errFailed: one job of a batch failed.
var errFailed = errors.New("a transaction of the batch failed")

// transact runs do in a transaction. The error says that all of it is undone.
func (w *writer) transact(do func() error) error {
	if err := w.exec("BEGIN IMMEDIATE"); err != nil {
		return fmt.Errorf("beginning a transaction: %w", explainBusy(err))
	}
	err := do()
	if err == nil {
		err = w.exec("COMMIT")
	}
	if err != nil {
		w.abandon()
		return fmt.Errorf("committing: %w", explainBusy(err))
	}
	return nil
}

// gather runs the first job and those that wait behind it.
func (w *writer) gather(b *batch) error {
	for i := 0; i < len(b.jobs); i++ {
		gone := b.jobs[i].ctx.Err()
		if gone == nil && guarded(b.jobs[i].run) != nil {
			return errFailed
		}
		b.results = append(b.results, gone)
		w.more(b)
	}
	return nil
}

// more adds the next job that waits, if there is one.
func (w *writer) more(b *batch) {
	for len(b.jobs) < maxBatch {
		select {
		case j, ok := <-w.work:
			if !ok {
				return
			}
			if !j.look {
				b.jobs = append(b.jobs, j)
				return
			}
			b.looks = append(b.looks, j)
		default:
			if b.patient {
				return
			}
			b.patient = true
			runtime.Gosched() // whoever is about to send may, before the disk is waited for
		}
	}
}

// repeat runs the jobs of a batch again, each behind a savepoint.
func (w *writer) repeat(b *batch) error {
	b.results = b.results[:0]
	for _, j := range b.jobs {
		result, fatal := w.save(j)
		if fatal != nil {
			return fatal
		}
		b.results = append(b.results, result)
	}
	return nil
}

// answer tells every job its own result, or the error that met them all, and
// looks for those who asked to.
func (b *batch) answer(all error) {
	for i, j := range b.jobs {
		if all != nil {
			j.result <- all
		} else {
			j.result <- b.results[i]
		}
	}
	for _, l := range b.looks {
		l.result <- guarded(l.run)
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
		return nil, err
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

// look reads rows without what database/sql does for each of their columns:
// every login looks twice, and on this connection nobody else does anything
// meanwhile. A panic is caught here: database/sql would give up the connection.
func (w *writer) look(scan func(scanner) error, query string, args []any) error {
	return w.conn.Raw(func(c any) error {
		return guarded(func() error { return w.ask(c.(driver.Conn), scan, query, args) })
	})
}

func (w *writer) ask(c driver.Conn, scan func(scanner) error, query string, args []any) error {
	s, ok := w.bare[query]
	if !ok {
		var err error
		if s, err = c.Prepare(query); err != nil {
			return fmt.Errorf("preparing %.60q: %w", query, err)
		}
		w.bare[query] = s
	}
	named := make([]driver.NamedValue, len(args))
	for i, a := range args {
		named[i] = driver.NamedValue{Ordinal: i + 1, Value: a}
	}
	rows, err := s.(driver.StmtQueryContext).QueryContext(context.Background(), named)
	if err != nil {
		return err
	}
	return eachRaw(rows, scan)
}

func eachRaw(rows driver.Rows, scan func(scanner) error) (err error) {
	defer func() { err = errors.Join(err, rows.Close()) }() // also in a panic: open rows hold old pages
	row := make(cells, len(rows.Columns()))
	for {
		err := rows.Next(row)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := scan(row); err != nil {
			return err
		}
	}
}
