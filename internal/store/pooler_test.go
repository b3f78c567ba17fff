package store

import (
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey"
	"latchkey/internal/store/storetest"
)

// Two servers by way of a pooler in session mode are one deployment, take turns
// and see when the other runs.
func TestServersWorkThroughAPooler(t *testing.T) {
	t.Parallel()
	address, err := url.Parse(storetest.Postgres(t))
	must(t, err)
	dir, err := os.MkdirTemp("", "latchkey-pool-") // short, for the socket
	must(t, err)
	pool, err := storetest.Shared(t).Pool(dir)
	if err != nil {
		must(t, errors.Join(os.RemoveAll(dir), err))
	}
	t.Cleanup(pool.Remove)
	through := pool.URL(strings.TrimPrefix(address.Path, "/"))
	one := place{filepath.Join(t.TempDir(), "one"), through}
	servers := []*DB{one.open(t)}
	c := place{filepath.Join(t.TempDir(), "two"), through}.config()
	c.KeyFile = filepath.Join(one.dir, MasterKeyFile)
	two, err := Open(t.Context(), c)
	must(t, err)
	defer func() { must(t, two.Close()) }()
	servers = append(servers, two)

	const each = 40
	var wg sync.WaitGroup
	for _, db := range servers {
		must(t, db.Attend(t.Context(), db.Dir(), time.Minute))
		for range each {
			wg.Go(func() {
				if err := db.InTx(t.Context(), func(x *Tx) error { return x.turn() }); err != nil {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	var n int
	must(t, two.row(t.Context(), "SELECT CAST(value AS BIGINT) FROM meta WHERE name = 'turn'").Scan(&n))
	if n != len(servers)*each {
		t.Errorf("%d changes of %d are there: they did not take turns", n, len(servers)*each)
	}
	if err := two.InTx(t.Context(), func(x *Tx) error { return x.alone() }); latchkey.CodeOf(err) != latchkey.Busy {
		t.Errorf("a running server is not seen: %v", err)
	}
}

// turn reads a number and writes the next one: two at once would lose one.
func (t *Tx) turn() error {
	if err := t.exec("INSERT INTO meta (name, value) VALUES ('turn', '0') ON CONFLICT (name) DO NOTHING"); err != nil {
		return err
	}
	var n int
	if err := t.row("SELECT CAST(value AS BIGINT) FROM meta WHERE name = 'turn'").Scan(&n); err != nil {
		return err
	}
	return t.exec("UPDATE meta SET value = $1 WHERE name = 'turn'", strconv.Itoa(n+1))
}
