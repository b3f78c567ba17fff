package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"latchkey"
)

// receive fills the database with a staged one, in one transaction. What was
// there is set aside in a schema of its own, of which it returns the name; ""
// where there was nothing.
func (n *networked) receive(ctx context.Context, staged string, m Manifest, replace bool, now time.Time) (aside string, err error) {
	pool, err := sql.Open("sqlite", dsn(staged))
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, pool.Close()) }()
	from, err := pool.Conn(ctx)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	to, err := n.start.Conn(ctx)
	if err != nil {
		return "", n.explain(err)
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	if _, err := to.ExecContext(ctx, "BEGIN"); err != nil {
		return "", n.explain(err)
	}
	// A server that starts now waits, and finds what was restored.
	if _, err = to.ExecContext(ctx, "SELECT pg_advisory_xact_lock($1)", int64(startLock)); err == nil {
		if aside, err = n.setAside(ctx, to, m, replace, now); err == nil {
			err = fill(ctx, from, to, now)
		}
	}
	if err != nil {
		_, undo := to.ExecContext(ctx, "ROLLBACK")
		return "", errors.Join(n.explain(err), undo)
	}
	_, err = to.ExecContext(ctx, "COMMIT")
	return aside, n.trouble(err)
}

// admit refuses a database that must not be replaced, and returns its epoch.
func (n *networked) admit(ctx context.Context, m Manifest, replace bool) (epoch uint64, err error) {
	conn, err := n.start.Conn(ctx)
	if err != nil {
		return 0, n.explain(err)
	}
	taken, err := n.place(ctx, conn, m, replace)
	if err != nil {
		err = n.explain(err)
	} else if taken {
		epoch = epochOf(ctx, conn)
	}
	return epoch, errors.Join(err, conn.Close())
}

// setAside moves what is there into a schema of its own, unless it must not be
// replaced.
func (n *networked) setAside(ctx context.Context, to *sql.Conn, m Manifest, replace bool, now time.Time) (string, error) {
	if taken, err := n.place(ctx, to, m, replace); err != nil || !taken {
		return "", err
	}
	aside := "replaced_" + now.UTC().Format("20060102150405")
	if _, err := to.ExecContext(ctx, "CREATE SCHEMA "+aside); err != nil {
		return "", err
	}
	var moves []string
	rows, err := to.QueryContext(ctx, "SELECT format('ALTER TABLE %I SET SCHEMA "+aside+"', tablename) FROM pg_tables WHERE schemaname = current_schema()")
	if err := each(rows, err, func(r *sql.Rows) error {
		var move string
		err := r.Scan(&move)
		moves = append(moves, move)
		return err
	}); err != nil {
		return "", err
	}
	for _, move := range moves {
		if _, err := to.ExecContext(ctx, move); err != nil {
			return "", err
		}
	}
	return aside, nil
}

// place reports whether there is something, and refuses what must not be
// replaced.
func (n *networked) place(ctx context.Context, to *sql.Conn, m Manifest, replace bool) (taken bool, err error) {
	var tables, ours int
	if err := to.QueryRowContext(ctx, postgresDialect.tables).Scan(&tables, &ours); err != nil || tables == 0 {
		return false, err
	}
	if ours == 0 {
		return true, latchkey.Errorf(latchkey.Conflict, "the database belongs to another program")
	}
	var deployment string
	err = to.QueryRowContext(ctx, "SELECT value FROM meta WHERE name = 'deployment'").Scan(&deployment)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return true, err
	}
	if deployment != "" && deployment != m.Deployment {
		return true, latchkey.Errorf(latchkey.Conflict, "the database holds another deployment (%s) than the backup (%s)", deployment, m.Deployment).
			WithHint("restore into another database")
	}
	if !replace {
		return true, latchkey.Errorf(latchkey.Conflict, "there is a deployment in the database").WithHint("--yes sets it aside and restores the backup in its place")
	}
	return true, unused(ctx, to)
}

// unused refuses while somebody else is connected. Of whoever left a moment ago
// PostgreSQL may still show the session: it is given two seconds to end.
func unused(ctx context.Context, to *sql.Conn) error {
	const others = `SELECT count(*), pg_sleep(CASE WHEN count(*) > 0 THEN 0.1 ELSE 0 END)::text FROM pg_stat_activity
		WHERE datname = current_database() AND application_name = $1 AND pid <> pg_backend_pid()`
	for range 20 {
		var users int
		var slept string
		if err := to.QueryRowContext(ctx, others, application).Scan(&users, &slept); err != nil || users == 0 {
			return err
		}
		// Within a transaction the list stays as it was first read.
		if _, err := to.ExecContext(ctx, "SELECT pg_stat_clear_snapshot()"); err != nil {
			return err
		}
	}
	return latchkey.Errorf(latchkey.Busy, "a server is using the database").WithHint("stop every server of the deployment first")
}

// fill makes the tables and copies what a staged database holds.
func fill(ctx context.Context, from, to *sql.Conn, now time.Time) error {
	if err := migrateIn(ctx, to, postgresDialect, now); err != nil {
		return err
	}
	all, err := tablesOf(ctx, from)
	if err != nil {
		return err
	}
	if err := empty(ctx, to, all); err != nil {
		return err
	}
	for _, t := range all {
		if err := t.toPostgres(ctx, from, to); err != nil {
			return fmt.Errorf("copying the table %s: %w", t.name, err)
		}
	}
	// Without an idea of the rows, the first logins would look at all of them.
	_, err = to.ExecContext(ctx, "ANALYZE")
	return err
}
