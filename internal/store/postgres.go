package store

import (
	"context"
	"crypto/tls"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"latchkey"
)

// Connections of one server to PostgreSQL, at most, and one more while it
// starts. Two servers fit into the hundred that PostgreSQL allows by default.
const (
	postgresWriters = 20
	postgresReaders = 12
)

// startLock is the advisory lock that servers which start, and restores, hold.
// A number of our own: "ltchky" in ASCII.
const startLock = 0x6c7463686b79

// startWait is how long a server waits for others that start.
const startWait = 2 * time.Minute

// A networked is a PostgreSQL database, which several servers may share.
type networked struct {
	config   *pgx.ConnConfig
	existing bool
	write    *sql.DB
	reads    *sql.DB // a transaction that waits to read must not starve
	start    *sql.DB // holds startLock
}

var postgresDialect = dialect{
	folder: "schema/postgres",
	begin:  "BEGIN",
	hold:   "LOCK TABLE migrations IN ACCESS EXCLUSIVE MODE",
	tables: `SELECT count(*), coalesce(sum(CASE WHEN tablename = 'migrations' THEN 1 ELSE 0 END), 0)
		FROM pg_tables WHERE schemaname = current_schema()`,
	clock:  "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)",
	script: []any{pgx.QueryExecModeSimpleProtocol},
}

// Every connection says what it expects of the server. A login waits five
// seconds: whatever takes longer than these limits is of no use to anybody, and
// a server that vanished in the middle must not hold a lock for long. Whoever
// switched synchronous_commit off did not think of codes that work once: a lost
// commit would let one in twice. The levels for standbys stay as they are.
const session10s = `SELECT set_config('statement_timeout', '10s', false), set_config('lock_timeout', '5s', false),
	set_config('idle_in_transaction_session_timeout', '10s', false);` + sessionAny

const sessionAny = `SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'`

const (
	sessionReads = session10s + `; SELECT set_config('default_transaction_read_only', 'on', false)`
	sessionStart = `SELECT set_config('statement_timeout', '0', false);` + sessionAny
)

func newNetworked(c Config) (*networked, error) {
	config, err := parseAddress(c.Database)
	if err != nil {
		return nil, err
	}
	config.RuntimeParams["application_name"] = application // a restore looks for it
	config.ConnectTimeout = 5 * time.Second
	n := &networked{config: config, existing: c.Existing}
	n.write = n.pool(session10s, postgresWriters)
	n.reads = n.pool(sessionReads, postgresReaders)
	n.start = n.pool(sessionStart, 1)
	return n, nil
}

const application = "latchkey"

// pool opens no connection yet. Connections do not grow old: behind one name
// another server may have taken over.
func (n *networked) pool(session string, most int) *sql.DB {
	db := stdlib.OpenDB(*n.config, stdlib.OptionAfterConnect(func(ctx context.Context, c *pgx.Conn) error {
		_, err := c.PgConn().Exec(ctx, session).ReadAll()
		return err
	}))
	db.SetMaxOpenConns(most)
	db.SetMaxIdleConns(most)
	db.SetConnMaxIdleTime(5 * time.Minute)
	db.SetConnMaxLifetime(30 * time.Minute)
	return db
}

// open waits until no other server starts, and goes on alone.
func (n *networked) open(ctx context.Context, now time.Time) (fresh bool, err error) {
	waiting, cancel := context.WithTimeout(ctx, startWait)
	defer cancel()
	conn, err := n.start.Conn(waiting)
	if err != nil {
		return false, n.explain(err)
	}
	defer conn.Close() // back into its pool of one: the lock is the session's
	if fresh, err = n.begin(waiting, conn, now); err != nil {
		return false, n.explain(err)
	}
	return fresh, nil
}

func (n *networked) begin(ctx context.Context, conn *sql.Conn, now time.Time) (fresh bool, err error) {
	if _, err := conn.ExecContext(ctx, "SELECT pg_advisory_lock($1)", int64(startLock)); err != nil {
		return false, err
	}
	var encoding string
	if err := conn.QueryRowContext(ctx, "SHOW server_encoding").Scan(&encoding); err != nil {
		return false, err
	}
	if encoding != "UTF8" {
		return false, latchkey.Errorf(latchkey.Invalid, "the encoding of the database is %s", encoding).
			WithHint("make the database with: CREATE DATABASE latchkey OWNER latchkey ENCODING 'UTF8' TEMPLATE template0")
	}
	var tables, ours int
	if err := conn.QueryRowContext(ctx, postgresDialect.tables).Scan(&tables, &ours); err != nil {
		return false, err
	}
	if n.existing && ours == 0 {
		return false, latchkey.Errorf(latchkey.NotFound, "there is nothing of Latchkey in %s", n.name())
	}
	if err := migrate(ctx, conn, postgresDialect, now); err != nil {
		return false, err
	}
	// What was cut off between the tables and the keys is fresh as well.
	err = conn.QueryRowContext(ctx, "SELECT NOT EXISTS (SELECT 1 FROM secrets)").Scan(&fresh)
	return fresh, err
}

// ready ends the session that holds the lock, and the lock with it.
func (n *networked) ready(context.Context) error { return n.start.Close() }

func (n *networked) close() error {
	return errors.Join(n.start.Close(), n.write.Close(), n.reads.Close())
}

// name is the database for people, without any secret.
func (n *networked) name() string {
	return fmt.Sprintf("database %s on %s", n.config.Database, net.JoinHostPort(n.config.Host, strconv.Itoa(int(n.config.Port))))
}

// query gives up on a server that does not answer any more; its own limit is
// shorter.
func (n *networked) query(ctx context.Context, scan func(*sql.Rows) error, query string, args ...any) error {
	ctx, cancel := context.WithTimeout(ctx, longestTx)
	defer cancel()
	rows, err := n.reads.QueryContext(ctx, query, args...)
	return n.trouble(each(rows, err, scan))
}

func (n *networked) row(ctx context.Context, query string, args ...any) scanner {
	ctx, cancel := context.WithTimeout(ctx, longestTx)
	row := n.reads.QueryRowContext(ctx, query, args...)
	return line{row, func(err error) error {
		cancel()
		return n.trouble(err)
	}}
}

// A line is a row whose error is worded once it is read.
type line struct {
	scanner
	word func(error) error
}

// Scan words the error.
func (l line) Scan(dest ...any) error { return l.word(l.scanner.Scan(dest...)) }

func (n *networked) clock() string { return postgresDialect.clock }

func (n *networked) size(ctx context.Context) (bytes int64, err error) {
	err = n.row(ctx, "SELECT pg_database_size(current_database())").Scan(&bytes)
	return bytes, err
}

func (n *networked) risks(ctx context.Context) (risks []string, err error) {
	const query = "SELECT name FROM pg_settings WHERE name IN ('fsync', 'full_page_writes') AND setting = 'off' ORDER BY name"
	err = n.query(ctx, func(r *sql.Rows) error {
		var name string
		err := r.Scan(&name)
		risks = append(risks, fmt.Sprintf("the database has %s = off: a power cut may take back what was committed, and a code could be used twice", name))
		return err
	}, query)
	return risks, err
}

// explain says what an administrator can do about an error of Open. PostgreSQL
// and the driver repeat no password in their errors.
func (n *networked) explain(err error) error {
	if _, ours := errors.AsType[*latchkey.Error](err); ours {
		return fmt.Errorf("opening %s: %w", n.name(), err)
	}
	if _, stranger := errors.AsType[*tls.CertificateVerificationError](err); stranger {
		return fmt.Errorf("%w: %w", latchkey.Errorf(latchkey.Forbidden, "%s is not the server that it should be", n.name()).
			WithHint("does sslrootcert in the address name the CA of its certificate, and the certificate the host in the address?"), err)
	}
	switch state := sqlState(err); {
	case state == "3D000":
		return latchkey.Errorf(latchkey.NotFound, "there is no %s", n.name()).
			WithHint("make it: CREATE DATABASE %s OWNER %s", n.config.Database, n.config.User)
	case class(state, "28"):
		return latchkey.Errorf(latchkey.Forbidden, "%s does not let %s in", n.name(), n.config.User).
			WithHint("is the password in the file that PGPASSFILE names, and does pg_hba.conf know this machine?")
	case state == "42501":
		return latchkey.Errorf(latchkey.Forbidden, "%s may not make tables in %s", n.config.User, n.name()).
			WithHint("make the user its owner: ALTER DATABASE %s OWNER TO %s", n.config.Database, n.config.User)
	case state == "55P03", errors.Is(err, context.DeadlineExceeded):
		return latchkey.Errorf(latchkey.Busy, "%s is busy: another server starts, or a restore is under way", n.name()).
			WithHint("wait for it, and start again")
	}
	return fmt.Errorf("opening %s: %w", n.name(), n.trouble(err))
}

// trouble names what a running server can meet: the database is away, or so
// slow that it might as well be.
func (n *networked) trouble(err error) error {
	switch state := sqlState(err); {
	case err == nil, latchkey.CodeOf(err) == latchkey.Busy:
		return err
	case state == "57014", state == "55P03", errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w: %w", latchkey.Errorf(latchkey.Busy, "the database is too slow").
			WithHint("look at its load and its locks (pg_stat_activity), and try again"), err)
	case state == "40001", state == "40P01":
		return fmt.Errorf("%w: %w", latchkey.Errorf(latchkey.Busy, "too much changes the same thing at once").WithHint("try again"), err)
	case !away(err):
		return err
	}
	return fmt.Errorf("%w: %w", latchkey.Errorf(latchkey.Busy, "the database cannot be reached").
		WithHint("it restarts, or the way to it is cut: try again soon"), err)
}

// away reports whether err is about the way to the database and not about the
// statement: no connection, one that broke or was ended because this process
// stood still in a transaction, a server that starts, stops or is full.
func away(err error) bool {
	if state := sqlState(err); state != "" {
		return class(state, "08") || class(state, "57") && state != "57014" || state == "53300" || state == "25P03"
	}
	if _, dialing := errors.AsType[*pgconn.ConnectError](err); dialing {
		return true
	}
	_, network := errors.AsType[net.Error](err)
	return network || cutOff(err) || pgconn.SafeToRetry(err)
}

// cutOff reports whether err is the end of a connection: what is left of a
// PostgreSQL that died while it was asked is no error of its own.
func cutOff(err error) bool {
	for _, end := range []error{errBroken, io.EOF, io.ErrUnexpectedEOF, driver.ErrBadConn, sql.ErrConnDone} {
		if errors.Is(err, end) {
			return true
		}
	}
	return false
}

// sqlState is the code of an error of PostgreSQL, "" where it is none.
func sqlState(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	return ""
}

// class reports whether a code belongs to a class (PostgreSQL manual, appendix A).
func class(state, first string) bool { return len(state) == 5 && state[:2] == first }
