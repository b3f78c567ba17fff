//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"latchkey"
	"latchkey/internal/store"
	"latchkey/internal/store/storetest"
)

// postgres measures a PostgreSQL of its own that waits for the disk: what it
// commits by itself, what the store makes of that, and logins at one and at two
// servers. All of them share the processors.
func (b *bench) postgres() (err error) {
	dir := filepath.Join(b.dir, "postgres")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	// A database of another user lies below: he has to get there.
	if err := os.Chmod(b.dir, 0o711); err != nil {
		return err
	}
	cluster, err := storetest.NewCluster(dir)
	if err != nil {
		return err
	}
	defer cluster.Remove()
	b.section("PostgreSQL alone, durable")
	if err := b.postgresStore(cluster, 2*time.Second); err != nil {
		return err
	}
	b.section("Online login over TLS on PostgreSQL: durable, every code used once")
	return b.postgresLogins(cluster)
}

func (b *bench) postgresStore(cluster *storetest.Cluster, d time.Duration) error {
	url, err := cluster.Create(context.Background())
	if err != nil {
		return err
	}
	config := store.Config{Dir: filepath.Join(b.dir, "postgres-one"), Database: url, Now: time.Now}
	one, err := store.Open(context.Background(), config)
	if err != nil {
		return err
	}
	defer one.Close()
	two, err := store.Open(context.Background(), config)
	if err != nil {
		return err
	}
	defer two.Close()
	w := &writes{db: one, keys: make([]latchkey.AuthenticatorID, hotUsers), users: make([]latchkey.UserID, hotUsers), next: make([]uint64, hotUsers)}
	if err := w.prepare(); err != nil {
		return err
	}
	if b.commits, err = b.postgresPlain(url, w.users, d); err != nil {
		return err
	}
	if _, err = b.writing("a row and an event, in turns", d, w.least); err != nil {
		return err
	}
	if b.settled, err = b.writing("all that a login writes", d, w.login); err != nil {
		return err
	}
	other := *w
	other.db = two
	l, err := together(machines, d, func(caller, n int) error {
		if caller%2 == 0 {
			return w.login(caller, n)
		}
		return other.login(caller, n)
	})
	if err == nil {
		b.times("all that a login writes, two servers, 32 caller(s)", l.took, fmt.Sprintf("%.0f commits per second", l.perSecond()))
	}
	return err
}

// postgresPlain does the least without the store: one transaction each, as
// PostgreSQL isolates them by default. It returns how many 32 callers commit in a
// second.
func (b *bench) postgresPlain(url string, users []latchkey.UserID, d time.Duration) (most float64, err error) {
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, url+"&pool_max_conns=32")
	if err != nil {
		return 0, err
	}
	defer pool.Close()
	for _, callers := range []int{1, 8, 32} {
		l, err := together(callers, d, func(caller, n int) error {
			tx, err := pool.Begin(ctx)
			if err != nil {
				return err
			}
			defer tx.Rollback(ctx) // after the commit it does nothing
			if _, err := tx.Exec(ctx, "UPDATE users SET disabled = $1 WHERE id = $2", n%2 == 0, string(users[caller])); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, "INSERT INTO events (id, time, kind) VALUES ($1, $2, 'bench')", fmt.Sprintf("bench_%d_%d_%d", callers, caller, n), n); err != nil {
				return err
			}
			return tx.Commit(ctx)
		})
		if err != nil {
			return 0, err
		}
		most = l.perSecond()
		b.times(fmt.Sprintf("a row and an event, plain transactions, %d caller(s)", callers), l.took, fmt.Sprintf("%.0f commits per second", most))
	}
	return most, nil
}

// postgresLogins logs the same people in at one server, then at two.
func (b *bench) postgresLogins(cluster *storetest.Cluster) (err error) {
	url, err := cluster.Create(context.Background())
	if err != nil {
		return err
	}
	at := func(name string, key ...string) (*server, error) {
		s := &server{b: b, program: filepath.Join(b.bin, "latchkey"), data: filepath.Join(b.dir, name), on: append([]string{"--database", url}, key...)}
		return s, s.begin()
	}
	one, err := at("pg-one")
	if err != nil {
		return err
	}
	two, err := at("pg-two", "--key-file", filepath.Join(one.data, store.MasterKeyFile))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, one.stop(), two.stop()) }() // before their database goes
	people, err := one.users(4000)
	if err != nil {
		return err
	}
	first, err := one.connect()
	if err != nil {
		return err
	}
	l := &load{one, people, first}
	if err := b.level(l, "first login of a user, one server", machines, func() (level, error) { return l.run(machines, 0) }); err != nil {
		return err
	}
	for _, clients := range []int{1, 8, 32} {
		l.rest(len(people))
		if err := b.level(l, "later logins, one server", clients, func() (level, error) { return l.run(clients, seconds*time.Second) }); err != nil {
			return err
		}
	}
	// The same machines: half of them ask the other server from now on.
	for i, c := range first {
		if i%2 == 0 {
			c.host = two.agents
			if err := c.again(); err != nil {
				return err
			}
		}
	}
	l.rest(len(people))
	cpu, err := two.cpu()
	if err != nil {
		return err
	}
	return b.level(l, "later logins, two servers", machines, func() (level, error) {
		got, err := l.run(machines, seconds*time.Second)
		after, cpuErr := two.cpu()
		got.server += after - cpu
		return got, errors.Join(err, cpuErr)
	})
}
