package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"latchkey"
	"latchkey/internal/store/storetest"
)

// networkedAt is a server on PostgreSQL, in either pass.
func networkedAt(t testing.TB) (*DB, place) {
	t.Helper()
	p := place{filepath.Join(t.TempDir(), "data"), storetest.Postgres(t)}
	return p.open(t), p
}

func TestBothSchemasAreTheSame(t *testing.T) {
	t.Parallel()
	type column struct {
		name, kind string
		required   bool
	}
	describe := func(db *sql.DB, query string, kinds *strings.Replacer) map[string][]column {
		out := map[string][]column{}
		rows, err := db.QueryContext(t.Context(), query)
		must(t, each(rows, err, func(r *sql.Rows) error {
			var table string
			var c column
			err := r.Scan(&table, &c.name, &c.kind, &c.required)
			c.kind = kinds.Replace(c.kind)
			out[table] = append(out[table], c)
			return err
		}))
		return out
	}
	one := embeddedAt(t)
	two, _ := networkedAt(t)
	lite, net := one.on.(*embedded).reads, two.on.(*networked).reads
	local := describe(lite, `SELECT m.name, c.name, c.type, c."notnull" OR c.pk FROM sqlite_master m
		JOIN pragma_table_info(m.name) c WHERE m.type = 'table' ORDER BY m.name, c.cid`, strings.NewReplacer("BLOB", "BYTEA"))
	remote := describe(net, `SELECT table_name, column_name, data_type, is_nullable = 'NO'
		FROM information_schema.columns WHERE table_schema = current_schema() ORDER BY table_name, ordinal_position`,
		strings.NewReplacer("bigint", "BIGINT", "text", "TEXT", "boolean", "BOOLEAN", "bytea", "BYTEA"))
	if len(local) < 15 {
		t.Fatalf("only %d tables", len(local))
	}
	for name, columns := range local {
		if !slices.Equal(columns, remote[name]) {
			t.Errorf("%s\n SQLite      %v\n PostgreSQL  %v", name, columns, remote[name])
		}
		delete(remote, name)
	}
	if len(remote) > 0 {
		t.Errorf("only on PostgreSQL: %v", remote)
	}
	indexes := func(db *sql.DB, query string) (names []string) {
		rows, err := db.QueryContext(t.Context(), query)
		must(t, each(rows, err, func(r *sql.Rows) error {
			var s string
			err := r.Scan(&s)
			names = append(names, s)
			return err
		}))
		return names
	}
	if a, b := indexes(lite, "SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL ORDER BY name"),
		indexes(net, `SELECT c.relname::text FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid
			WHERE c.relnamespace = current_schema()::regnamespace AND NOT EXISTS (SELECT 1 FROM pg_constraint WHERE conindid = c.oid)
			ORDER BY c.relname COLLATE "C"`); !slices.Equal(a, b) {
		t.Errorf("indexes\n SQLite      %v\n PostgreSQL  %v", a, b)
	}
}

// Every text is compared byte by byte, also where the database has a language.
func TestNoTextDependsOnALanguage(t *testing.T) {
	t.Parallel()
	db, _ := networkedAt(t)
	var wrong int
	must(t, db.row(t.Context(), `SELECT count(*) FROM information_schema.columns WHERE table_schema = current_schema()
		AND table_name <> 'migrations' AND data_type = 'text' AND collation_name IS DISTINCT FROM 'C'`).Scan(&wrong))
	if wrong != 0 {
		t.Errorf("%d columns of text without COLLATE \"C\"", wrong)
	}
}

func TestServersThatStartTogetherAreOneDeployment(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	key := filepath.Join(t.TempDir(), "key")
	var wg sync.WaitGroup
	var mu sync.Mutex
	seen := map[string]int{}
	for i := range 5 {
		wg.Go(func() {
			c := p.config()
			c.KeyFile = key
			if p.database != "" {
				c.Dir = filepath.Join(t.TempDir(), fmt.Sprint(i))
			}
			db, err := Open(t.Context(), c)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			seen[db.Keys().Deployment+string(db.Keys().State)]++
			mu.Unlock()
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if len(seen) != 1 {
		t.Errorf("%d deployments", len(seen))
	}
}

// The power fails when the tables are there and the keys are not.
func TestAFirstStartThatWasCutOffIsBegunAgain(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	c := p.config()
	on, err := newEngine(c)
	if err == nil {
		err = makeDir(c.Dir)
	}
	if err == nil {
		_, err = on.open(t.Context(), c.Now())
	}
	if err := errors.Join(err, on.close()); err != nil {
		t.Fatal(err)
	}
	db, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}

// A key of its own beside somebody else's database helps nobody: only the first
// server makes one.
func TestASecondServerNeedsTheKeyOfTheFirst(t *testing.T) {
	t.Parallel()
	_, p := networkedAt(t)
	other := place{filepath.Join(t.TempDir(), "data"), p.database}
	_, err := Open(t.Context(), other.config())
	if latchkey.CodeOf(err) != latchkey.NotFound || !strings.Contains(err.Error(), "master key") {
		t.Fatalf("%v", err)
	}
	if _, err := os.Stat(filepath.Join(other.dir, MasterKeyFile)); err == nil {
		t.Error("it made a key")
	}
}

func TestWhoOnlyLooksMakesNoDeployment(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	c := p.config()
	c.Existing = true
	if _, err := Open(t.Context(), c); latchkey.CodeOf(err) != latchkey.NotFound {
		t.Fatalf("%v", err)
	}
	if p.database != "" {
		p.run(t, "CREATE TABLE migrations (x INT)") // it is not there
	}
}

func TestADatabaseThatIsNotThereIsNamed(t *testing.T) {
	t.Parallel()
	p := place{filepath.Join(t.TempDir(), "data"), strings.Replace(storetest.Postgres(t), "@/", "@/no", 1)}
	_, err := Open(t.Context(), p.config())
	e, ok := errors.AsType[*latchkey.Error](err)
	if !ok || e.Code != latchkey.NotFound || !strings.Contains(e.Hint, "CREATE DATABASE no") {
		t.Errorf("%v", err)
	}
}

// A login costs the same however many people there are.
func TestALoginLooksAtNoMoreRowsWhereThereAreMorePeople(t *testing.T) {
	t.Parallel()
	db := open(t)
	must(t, db.InTx(t.Context(), func(x *Tx) error {
		const many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) "
		return errors.Join(
			x.exec(many+`INSERT INTO users (id, name, fold, directory, created_at)
				SELECT 'usr_' || CAST(i AS TEXT), '', CAST(i AS TEXT), 'builtin', 0 FROM n`),
			x.exec(many+`INSERT INTO machines (id, name, fold, state, mode, unknown_users, match_local, trust_on_enforced, os, agent_version,
				key_class, identity_hash, sealing_key, created_at)
				SELECT 'mch_' || CAST(i AS TEXT), '', CAST(i AS TEXT), 'active', '', '', TRUE, TRUE, '', '', '', CAST(CAST(i AS TEXT) AS BYTEA), $1, 0 FROM n`, []byte{}),
			x.exec(many+`INSERT INTO authenticators (id, user_id, kind, label, algorithm, digits, period, wrapped, created_at)
				SELECT 'aut_' || CAST(i AS TEXT), 'usr_' || CAST(i AS TEXT), 'totp', '', '', 6, 30, $1, 0 FROM n`, []byte{}),
			x.exec(many+`INSERT INTO enrollments (user_id, machine_id, seen_at, uid)
				SELECT 'usr_' || CAST(i AS TEXT), 'mch_' || CAST(i AS TEXT), 0, i FROM n`),
			x.exec("ANALYZE"))
	}))
	explain, bad := "EXPLAIN QUERY PLAN ", regexp.MustCompile(`SCAN (u|e|a|m|users|enrollments|authenticators|machines)\b`)
	if _, networked := db.on.(*networked); networked {
		explain, bad = "EXPLAIN ", regexp.MustCompile(`Seq Scan on (users|enrollments|authenticators|machines)\b`)
	}
	for _, facts := range []string{factsByName, factsByBoth} {
		lines := 0
		must(t, db.query(t.Context(), func(r *sql.Rows) error {
			var line string
			dest := []any{&line}
			if explain != "EXPLAIN " {
				dest = []any{new(int), new(int), new(int), &line}
			}
			err := r.Scan(dest...)
			if lines++; bad.MatchString(line) {
				t.Errorf("it looks at everything: %s", line)
			}
			return err
		}, explain+facts, "mch_7", "7", int64(7)))
		if lines < 5 {
			t.Errorf("a plan of %d lines", lines)
		}
	}
}

// What a transaction read is still so when it commits: the second one waits
// until the first has written what follows from what it read.
func TestATransactionRestsOnWhatItRead(t *testing.T) {
	t.Parallel()
	db, p := networkedAt(t)
	beside, err := sql.Open("pgx", p.database)
	must(t, err)
	defer beside.Close()
	var reads atomic.Int64
	leave := func(name string) func(*Tx) error {
		return func(x *Tx) error {
			var in int
			must(t, x.row("SELECT count(*) FROM meta WHERE value = 'in'").Scan(&in))
			// Until the other one has read too, or waits for its turn.
			for waiting := reads.Add(1) > 1; !waiting && reads.Load() < 2; {
				must(t, beside.QueryRow("SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'advisory')").Scan(&waiting))
			}
			if in < 2 {
				return nil // somebody has to stay
			}
			return x.exec("UPDATE meta SET value = 'out' WHERE name = $1", name)
		}
	}
	must(t, db.InTx(t.Context(), func(x *Tx) error {
		return x.exec("INSERT INTO meta (name, value) VALUES ('owner one', 'in'), ('owner two', 'in')")
	}))
	var wg sync.WaitGroup
	for _, name := range []string{"owner one", "owner two"} {
		wg.Go(func() {
			if err := db.InTx(t.Context(), leave(name)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	var in int
	must(t, db.row(t.Context(), "SELECT count(*) FROM meta WHERE value = 'in'").Scan(&in))
	if in != 1 {
		t.Errorf("%d stayed", in)
	}
}

// Of two owners who disable each other at the same moment, one stays.
func TestOneOwnerStaysWhoeverIsFaster(t *testing.T) {
	t.Parallel()
	db := open(t)
	ctx := t.Context()
	for round := range 10 {
		names := []string{fmt.Sprintf("a%d", round), fmt.Sprintf("b%d", round)}
		for _, n := range names {
			must(t, db.CreateAdmin(ctx, n, latchkey.Owner, []byte(n), latchkey.Event{Kind: latchkey.AdminCreated}))
		}
		if round > 0 { // whoever stayed before is in nobody's way
			must(t, db.InTx(ctx, func(x *Tx) error {
				return x.exec("UPDATE admins SET disabled = TRUE WHERE name <> $1 AND name <> $2", names[0], names[1])
			}))
		}
		var wg sync.WaitGroup
		var refused atomic.Int64
		for _, n := range names {
			wg.Go(func() {
				err := db.DisableAdmin(ctx, n, latchkey.Event{Kind: latchkey.AdminDisabled})
				if latchkey.CodeOf(err) == latchkey.Conflict {
					refused.Add(1)
				} else if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if refused.Load() != 1 {
			t.Fatalf("round %d: %d refusals", round, refused.Load())
		}
	}
}

// Two machines of one name at the same moment: one is active, the other waits
// for approval, and nobody sees an error of the database.
func TestMachinesOfOneNameAtOnce(t *testing.T) {
	t.Parallel()
	db := open(t)
	states := make(chan latchkey.MachineState, 6)
	var wg sync.WaitGroup
	for i := range cap(states) {
		must(t, db.InTx(t.Context(), func(x *Tx) error {
			return x.exec("INSERT INTO machine_tokens (id, hash, uses, uses_left, created_by, created_at, expires_at) VALUES ($1, $2, 1, 1, '', 0, $3)",
				fmt.Sprint(i), []byte{byte(i)}, noon.Add(day).UnixMilli())
		}))
		wg.Go(func() {
			m, err := db.Join(t.Context(), []byte{byte(i)}, latchkey.Machine{
				Name: "pc", Settings: latchkey.DefaultSettings(), IdentityHash: []byte{byte(i)}, SealingKey: []byte{1}, CreatedAt: noon,
			}, latchkey.Event{Kind: latchkey.MachineEnrolled})
			if err != nil {
				t.Error(err)
			}
			states <- m.State
		})
	}
	wg.Wait()
	close(states)
	count := map[latchkey.MachineState]int{}
	for s := range states {
		count[s]++
	}
	if count[latchkey.Active] != 1 || count[latchkey.Pending] != 5 {
		t.Errorf("%v", count)
	}
}

func TestACallerWhoLeavesInTheMiddleIsStillServed(t *testing.T) {
	t.Parallel()
	db := open(t)
	ctx, leave := context.WithCancel(t.Context())
	err := db.InTx(ctx, func(x *Tx) error {
		leave()
		return x.exec("INSERT INTO meta (name, value) VALUES ('left', '')")
	})
	must(t, err)
	var n int
	must(t, db.row(t.Context(), "SELECT count(*) FROM meta WHERE name = 'left'").Scan(&n))
	if n != 1 {
		t.Error("it is not there")
	}
}

// pid is PostgreSQL's process behind a transaction.
func pid(t *testing.T, x *Tx) (pid int) {
	t.Helper()
	must(t, x.row("SELECT pg_backend_pid()").Scan(&pid))
	return pid
}

func terminate(t *testing.T, p place, pid int) {
	t.Helper()
	p.run(t, fmt.Sprintf("SELECT pg_terminate_backend(%d, 10000)", pid))
}

func TestATransactionWhoseConnectionBreaksRunsAgain(t *testing.T) {
	t.Parallel()
	db, p := networkedAt(t)
	runs := 0
	must(t, db.InTx(t.Context(), func(x *Tx) error {
		if runs++; runs == 1 {
			terminate(t, p, pid(t, x))
		}
		return x.exec("INSERT INTO meta (name, value) VALUES ('again', '')")
	}))
	if runs != 2 {
		t.Errorf("%d runs", runs)
	}
}

// Nobody knows whether a COMMIT that met a broken connection took place. It is
// not repeated, and the caller is told.
func TestACommitThatIsCutOffIsNotRepeated(t *testing.T) {
	t.Parallel()
	db, p := networkedAt(t)
	runs := 0
	watched, wrote := db.Watch(t.Context())
	err := db.InTx(watched, func(x *Tx) error {
		runs++
		must(t, x.exec("INSERT INTO meta (name, value) VALUES ('cut', '')"))
		terminate(t, p, pid(t, x))
		return nil
	})
	if latchkey.CodeOf(err) != latchkey.Unknown || !strings.Contains(err.Error(), "not known") || runs != 1 || !wrote() {
		t.Errorf("%d runs, may have written %v: %v", runs, wrote(), err)
	}
}

func TestAnErrorBehindAFailedStatementIsTheFirstOne(t *testing.T) {
	t.Parallel()
	db := open(t)
	for range 2 {
		err := db.CreateAdmin(t.Context(), "ana", latchkey.Owner, []byte("h"), latchkey.Event{Kind: latchkey.AdminCreated})
		if err != nil && (strings.Contains(err.Error(), "\n") || latchkey.CodeOf(err) != latchkey.Conflict) {
			t.Errorf("%v", err)
		}
	}
	// A statement that failed cannot be forgotten.
	err := db.InTx(t.Context(), func(x *Tx) error {
		_ = x.exec("INSERT INTO admins (id, name, fold, role, created_at) SELECT id, name, fold, role, created_at FROM admins")
		_ = x.exec("INSERT INTO meta (name, value) VALUES ('half', '')")
		return nil
	})
	if _, networked := db.on.(*networked); networked && err == nil {
		t.Error("half a transaction was committed")
	}
}

func TestALockThatLastsIsNoEndlessWait(t *testing.T) {
	t.Parallel()
	db, p := networkedAt(t)
	n := db.on.(*networked)
	n.write.SetMaxOpenConns(1)
	_, err := n.write.Exec("SET lock_timeout = '50ms'")
	must(t, err)
	other, err := sql.Open("pgx", p.database)
	must(t, err)
	defer other.Close()
	hold, err := other.Begin()
	must(t, err)
	_, err = hold.Exec("LOCK TABLE meta")
	must(t, err)
	if err := db.Writable(t.Context()); latchkey.CodeOf(err) != latchkey.Busy {
		t.Errorf("%v", err)
	}
	must(t, hold.Rollback())
	must(t, db.Writable(t.Context()))
}

// A lost commit would let a code in twice, whatever the database's owner set.
func TestACommitIsOnTheDiskWhateverTheDatabaseSays(t *testing.T) {
	t.Parallel()
	p := place{filepath.Join(t.TempDir(), "data"), storetest.Postgres(t)}
	p.run(t, "DO $$ BEGIN EXECUTE 'ALTER DATABASE ' || current_database() || ' SET synchronous_commit = off'; END $$")
	db := p.open(t)
	must(t, db.InTx(t.Context(), func(x *Tx) error {
		var level string
		err := x.row("SHOW synchronous_commit").Scan(&level)
		if level != "on" {
			t.Errorf("synchronous_commit %s", level)
		}
		return err
	}))
	if err := db.row(t.Context(), "INSERT INTO meta (name, value) VALUES ('x', '') RETURNING name").Scan(new(string)); err == nil {
		t.Error("a reader wrote")
	}
}

func TestADatabaseThatCrashedIsFoundAgain(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "latchkey-postgres-")
	must(t, err)
	c, err := storetest.NewCluster(dir)
	if err != nil {
		os.RemoveAll(dir)
		t.Fatal(err)
	}
	t.Cleanup(c.Remove)
	url, err := c.Create(t.Context())
	must(t, err)
	db := place{filepath.Join(t.TempDir(), "data"), url}.open(t)
	for _, end := range []func(){c.Stop, c.Crash} {
		end()
		for what, err := range map[string]error{
			"writing": db.Writable(t.Context()),
			"reading": db.row(t.Context(), "SELECT 1").Scan(new(int)),
			"listing": db.query(t.Context(), func(*sql.Rows) error { return nil }, "SELECT 1"),
		} {
			if latchkey.CodeOf(err) != latchkey.Busy {
				t.Errorf("%s while it is away: %v", what, err)
			}
		}
		must(t, c.Start())
		must(t, db.Writable(t.Context()))
		if _, err := db.Policies(t.Context()); err != nil {
			t.Error(err)
		}
	}
}
