package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// A table is what both engines know by one name, with the same columns.
type table struct {
	name    string
	columns []string
	truth   []bool // which columns are boolean: SQLite may hand out numbers
}

// tablesOf lists the tables of an SQLite database in the order in which they
// were made: none refers to a later one.
func tablesOf(ctx context.Context, from *sql.Conn) ([]table, error) {
	const query = `SELECT m.name, c.name, c.type = 'BOOLEAN' FROM sqlite_master m JOIN pragma_table_info(m.name) c
		WHERE m.type = 'table' AND m.name <> 'migrations' AND m.name NOT LIKE 'sqlite%' ORDER BY m.rowid, c.cid`
	var all []table
	rows, err := from.QueryContext(ctx, query)
	err = each(rows, err, func(r *sql.Rows) error {
		var name, column string
		var truth bool
		if err := r.Scan(&name, &column, &truth); err != nil {
			return err
		}
		if len(all) == 0 || all[len(all)-1].name != name {
			all = append(all, table{name: name})
		}
		t := &all[len(all)-1]
		t.columns, t.truth = append(t.columns, column), append(t.truth, truth)
		return nil
	})
	return all, err
}

func (t table) selectAll() string {
	return "SELECT " + strings.Join(t.columns, ", ") + " FROM " + t.name
}

func (t table) insert() string {
	var marks []string
	for i := range t.columns {
		marks = append(marks, fmt.Sprintf("$%d", i+1))
	}
	return "INSERT INTO " + t.name + " (" + strings.Join(t.columns, ", ") + ") VALUES (" + strings.Join(marks, ", ") + ")"
}

// values reads a row into what both engines take.
func (t table) values(r *sql.Rows) ([]any, error) {
	out, into := make([]any, len(t.columns)), make([]any, len(t.columns))
	for i := range out {
		into[i] = &out[i]
	}
	if err := r.Scan(into...); err != nil {
		return nil, err
	}
	for i, v := range out {
		switch v := v.(type) {
		case int64:
			if t.truth[i] {
				out[i] = v != 0
			}
		case []byte:
			out[i] = append([]byte{}, v...) // one of no bytes is not NULL
		}
	}
	return out, nil
}

// empty removes the rows with which a new schema begins.
func empty(ctx context.Context, conn *sql.Conn, all []table) error {
	for i := range all {
		if _, err := conn.ExecContext(ctx, "DELETE FROM "+all[len(all)-1-i].name); err != nil {
			return err
		}
	}
	return nil
}

// snapshot copies every table as it is at one moment into an SQLite file: a
// backup is of one form, and goes back into either engine. REPEATABLE READ is
// what one moment needs; nothing is written here.
func (n *networked) snapshot(ctx context.Context, file string) (err error) {
	read := n.pool(sessionStart, 1)
	defer func() { err = errors.Join(err, read.Close()) }()
	tx, err := read.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	if err != nil {
		return n.trouble(err)
	}
	err = writeSQLite(ctx, file, func(to *sql.Conn, all []table) error {
		for _, t := range all {
			if t.name == fleeting {
				continue
			}
			if err := t.toSQLite(ctx, tx, to); err != nil {
				return fmt.Errorf("copying the table %s: %w", t.name, n.trouble(err))
			}
		}
		return nil
	})
	return errors.Join(err, tx.Rollback())
}

// writeSQLite makes a database with empty tables in a file and has it filled.
// It is not durable: whoever asked copies it once more, and syncs that.
func writeSQLite(ctx context.Context, file string, fill func(*sql.Conn, []table) error) (err error) {
	pool, err := sql.Open("sqlite", swift(file))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, pool.Close()) }()
	conn, err := pool.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if err := migrate(ctx, conn, sqliteDialect, time.Now()); err != nil {
		return err
	}
	all, err := tablesOf(ctx, conn)
	if err != nil {
		return err
	}
	if _, err := conn.ExecContext(ctx, "BEGIN"); err != nil {
		return err
	}
	if err := errors.Join(empty(ctx, conn, all), fill(conn, all)); err != nil {
		return err
	}
	_, err = conn.ExecContext(ctx, "COMMIT")
	return err
}

func (t table) toSQLite(ctx context.Context, from *sql.Tx, to *sql.Conn) (err error) {
	into, err := to.PrepareContext(ctx, t.insert())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, into.Close()) }()
	rows, err := from.QueryContext(ctx, t.selectAll())
	return each(rows, err, func(r *sql.Rows) error {
		values, err := t.values(r)
		if err == nil {
			_, err = into.ExecContext(ctx, values...)
		}
		return err
	})
}

// toPostgres copies a table of an SQLite database.
func (t table) toPostgres(ctx context.Context, from, to *sql.Conn) error {
	rows, err := from.QueryContext(ctx, t.selectAll())
	if err != nil {
		return err
	}
	err = to.Raw(func(c any) error {
		_, err := c.(*stdlib.Conn).Conn().CopyFrom(ctx, pgx.Identifier{t.name}, t.columns, pgx.CopyFromFunc(func() ([]any, error) {
			if !rows.Next() {
				return nil, rows.Err()
			}
			return t.values(rows)
		}))
		return err
	})
	return errors.Join(err, rows.Close())
}
