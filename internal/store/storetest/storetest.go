//go:build unix

// Package storetest lets the tests of a package run on every kind of database:
// the whole package once on SQLite and once on a PostgreSQL of its own. It
// starts that PostgreSQL itself, as a user without rights, in a folder of its
// own, on a socket in that folder, and stops it by its pid.
//
// It refuses to skip: where PostgreSQL is not installed, the tests fail and say
// what to do.
package storetest

import (
	"context"
	"flag"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
)

var (
	networked atomic.Bool // the pass on PostgreSQL
	shared    struct {
		sync.Mutex
		cluster *Cluster
	}
)

// Main runs the tests of a package on every engine; TestMain hands its result
// to os.Exit. What is measured or looked for is not done twice.
func Main(m *testing.M) (code int) {
	defer end()
	if code = m.Run(); code != 0 || once() {
		return code
	}
	networked.Store(true)
	fmt.Println("and once more, on PostgreSQL")
	return m.Run()
}

// Once runs the tests of a package as they are; each says for itself what it
// runs on.
func Once(m *testing.M) int {
	defer end()
	return m.Run()
}

// end stops the PostgreSQL that the tests started.
func end() {
	if shared.cluster != nil {
		shared.cluster.Remove()
	}
}

func once() bool {
	for _, name := range []string{"test.bench", "test.fuzz", "test.list"} {
		if f := flag.Lookup(name); f != nil && f.Value.String() != "" {
			return true
		}
	}
	return false
}

// A TB is the part of testing.TB that is needed here; a test of properties has
// another one.
type TB interface {
	Helper()
	Logf(format string, args ...any)
	Error(args ...any)
	Fatal(args ...any)
	Cleanup(func())
}

// Database is the address of an empty database for this test: "", which stands
// for SQLite in the test's own folder, or that of a PostgreSQL database.
func Database(tb TB) string {
	tb.Helper()
	if !networked.Load() {
		return ""
	}
	return Postgres(tb)
}

// Postgres is the address of an empty PostgreSQL database for this test, in
// either pass.
func Postgres(tb TB) string {
	tb.Helper()
	c := Shared(tb)
	url, err := c.Create(context.Background())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := c.Drop(context.Background(), url); err != nil {
			tb.Error(err)
		}
	})
	tb.Logf("on PostgreSQL")
	return url
}

// Shared is the package's PostgreSQL; it starts when the first test needs it.
func Shared(tb TB) *Cluster {
	tb.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.cluster != nil {
		return shared.cluster
	}
	dir, err := os.MkdirTemp("", "latchkey-postgres-")
	if err != nil {
		tb.Fatal(err)
	}
	// Tests do not cut the power: without fsync they take half the time.
	if shared.cluster, err = NewCluster(dir, "fsync=off", "full_page_writes=off"); err != nil {
		os.RemoveAll(dir)
		tb.Fatal(err)
	}
	return shared.cluster
}
