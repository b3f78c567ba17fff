package store

import (
	"database/sql"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"latchkey"
	"latchkey/internal/store/storetest"
)

// What was asked when PostgreSQL died learns that the database is away: its last
// word is no error of PostgreSQL, but the end of the connection.
func TestACrashUnderAQuestionIsNamed(t *testing.T) {
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
	const long = "SELECT 'x' FROM pg_sleep(60)"
	questions := map[string]func() error{
		"a row": func() error { return db.row(t.Context(), long).Scan(new(string)) },
		"rows": func() error {
			return db.query(t.Context(), func(r *sql.Rows) error { return r.Scan(new(string)) }, long)
		},
		"a change":   func() error { return db.InTx(t.Context(), func(x *Tx) error { return x.exec(long) }) },
		"one beside": func() error { return db.beside(t.Context(), func(x *Tx) error { return x.exec(long) }) },
	}
	answers := make(chan error, len(questions))
	for what, ask := range questions {
		go func() {
			if err := ask(); latchkey.CodeOf(err) != latchkey.Busy {
				answers <- fmt.Errorf("%s: %w", what, err)
				return
			}
			answers <- nil
		}()
	}
	for n := 0; n < len(questions); {
		must(t, db.row(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'").Scan(&n))
	}
	c.Crash()
	for range questions {
		if err := <-answers; err != nil {
			t.Error(err)
		}
	}
}

// Ways in which the end of a connection reaches us.
func TestTheEndOfAConnectionIsNoErrorOfOurs(t *testing.T) {
	t.Parallel()
	n := &networked{}
	for _, err := range []error{io.EOF, io.ErrUnexpectedEOF, fmt.Errorf("begin: %w", io.ErrUnexpectedEOF), sql.ErrConnDone} {
		if code := latchkey.CodeOf(n.trouble(err)); code != latchkey.Busy {
			t.Errorf("%v: %s", err, code)
		}
	}
}
