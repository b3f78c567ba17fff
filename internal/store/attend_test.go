package store

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"time"

	"latchkey"
)

// An upgrade brings tables to the version after ours.
type upgrade struct {
	d    dialect
	conn *sql.Conn
	all  []migration
}

func newUpgrade(t *testing.T, p place) upgrade {
	t.Helper()
	driver, source, d := "pgx", p.database, postgresDialect
	if source == "" {
		driver, source, d = "sqlite", dsn(p.dir+"/"+DatabaseFile), sqliteDialect
	}
	pool, err := sql.Open(driver, source)
	must(t, err)
	conn, err := pool.Conn(t.Context())
	must(t, err)
	t.Cleanup(func() { must(t, errors.Join(conn.Close(), pool.Close())) })
	all, err := migrations(schema, d)
	must(t, err)
	return upgrade{d, conn, append(all, migration{len(all) + 1, "next", "CREATE TABLE next (x BIGINT)", "sum"})}
}

func (u upgrade) exec(t *testing.T, query string) {
	t.Helper()
	_, err := u.conn.ExecContext(t.Context(), query)
	must(t, err)
}

// run is the upgrade as a newer program does it.
func (u upgrade) run(t *testing.T) error {
	t.Helper()
	u.exec(t, u.d.begin)
	err := migrateTo(t.Context(), u.conn, u.d, clockOfNoon(), u.all)
	if err != nil {
		u.exec(t, "ROLLBACK")
		return err
	}
	u.exec(t, "COMMIT")
	return nil
}

func TestNobodyUpgradesUnderARunningServer(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	db := p.open(t)
	must(t, db.Attend(t.Context(), "one", time.Minute))
	u := newUpgrade(t, p)
	if err := u.run(t); latchkey.CodeOf(err) != latchkey.Busy {
		t.Errorf("under a running server: %v", err)
	}
	must(t, db.Attend(t.Context(), "one", time.Minute)) // the tables are as they were
	must(t, db.Leave(t.Context(), "one"))
	must(t, u.run(t))

	if err := db.Attend(t.Context(), "one", time.Minute); !errors.Is(err, ErrOvertaken) || latchkey.CodeOf(err) != latchkey.Conflict {
		t.Errorf("on tables of a newer version a server says that it runs: %v", err)
	}
	var n int
	must(t, db.row(t.Context(), "SELECT count(*) FROM leases WHERE name LIKE 'serving/%'").Scan(&n))
	if n != 0 {
		t.Errorf("%d servers run", n)
	}
}

// A server that was killed does not keep its successor out for ever.
func TestAServerThatWasKilledIsForgotten(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	db := p.open(t)
	must(t, db.Attend(t.Context(), "one", -time.Second))
	must(t, newUpgrade(t, p).run(t))
}

// Whoever starts while the tables are brought up to date finds the new ones.
func TestWhoStartsDuringAnUpgradeIsOvertaken(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	db := p.open(t)
	u := newUpgrade(t, p)
	u.exec(t, u.d.begin)
	must(t, migrateTo(t.Context(), u.conn, u.d, clockOfNoon(), u.all))
	attended := make(chan error, 1)
	go func() { attended <- db.Attend(context.Background(), "one", time.Minute) }()
	if p.database != "" { // SQLite has one writer at a time
		waits(t, u, attended)
	}
	u.exec(t, "COMMIT")
	if err := <-attended; !errors.Is(err, ErrOvertaken) {
		t.Errorf("it says that it runs: %v", err)
	}
}

// waits wants somebody to wait for the upgrade.
func waits(t *testing.T, u upgrade, attended chan error) {
	t.Helper()
	for waiting := false; !waiting; {
		select {
		case err := <-attended:
			t.Fatalf("it did not wait: %v", err)
		case <-t.Context().Done():
			t.Fatal("it never came")
		default:
		}
		must(t, u.conn.QueryRowContext(t.Context(), `SELECT EXISTS (SELECT 1 FROM pg_locks
			WHERE NOT granted AND relation = 'migrations'::regclass)`).Scan(&waiting))
	}
}

// A database of any version comes up to date, on both engines.
func TestTheTablesOfEveryVersionComeUpToDate(t *testing.T) {
	t.Parallel()
	known, err := migrations(schema, sqliteDialect)
	must(t, err)
	for n := range known {
		p := newPlace(t)
		must(t, makeDir(p.dir))
		u := newUpgrade(t, p)
		u.all = u.all[:n+1]
		must(t, u.run(t))
		db := p.open(t)
		must(t, db.Attend(t.Context(), "one", time.Minute))
	}
}
