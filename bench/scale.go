//go:build linux

package main

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"latchkey/internal/otp"
	"latchkey/internal/store"
)

// sizes are how many users there are, and as many machines.
var sizes = []int{1_000, 100_000, 1_000_000}

// trail is how many rows of the audit trail are sealed and verified.
const trail = 1_000_000

// scale measures whether a login costs more where there are more users.
func (b *bench) scale() error {
	s, err := b.newServer("scale", "latchkey")
	if err != nil {
		return err
	}
	people, err := s.users(800)
	if err != nil {
		return err
	}
	conns, err := s.connect()
	if err != nil {
		return err
	}
	l := &load{s, people, conns}
	if _, err := l.run(8, 0); err != nil { // the first login of each
		return err
	}
	b.section("Online login among many users, and as many machines")
	have := len(people)
	for _, n := range sizes {
		if err := s.stop(); err != nil {
			return err
		}
		if err := s.fill(func(f *filling) error { return f.people(have, n) }); err != nil {
			return err
		}
		have = n
		if err := b.size(l, n); err != nil {
			return err
		}
	}
	return b.trail(s)
}

// size measures one size of the deployment.
func (b *bench) size(l *load, n int) error {
	first, err := l.server.start()
	if err != nil {
		return err
	}
	fresh(l.users)
	for i, clients := range []int{1, 8} {
		half := len(l.users) / 2
		part := load{l.server, l.users[i*half : (i+1)*half], l.conns}
		got, err := part.run(clients, 0) // each of them once
		if err != nil {
			return err
		}
		if len(got.took) != half {
			return fmt.Errorf("%d of %d users could log in", len(got.took), half)
		}
		b.times(fmt.Sprintf("%d users and machines, %d client(s)", n, clients), got.took, fmt.Sprintf("%.0f logins/s", got.perSecond()))
	}
	memory, err := l.server.memory()
	if err != nil {
		return err
	}
	info, err := os.Stat(filepath.Join(l.server.data, store.DatabaseFile))
	if err != nil {
		return err
	}
	b.value(fmt.Sprintf("%d users and machines", n), "first answer %s, %s, database %d MiB", ms(first), memory, info.Size()>>20)
	return nil
}

// fresh waits until each of the users has a code that was never used.
func fresh(users []*user) {
	for _, u := range users {
		for u.last > otp.Step(time.Now().Add(-behind), 30) {
			time.Sleep(100 * time.Millisecond)
		}
	}
}

// trail measures the sealing and the verification of a long audit trail.
func (b *bench) trail(s *server) error {
	b.section("Audit trail")
	if err := s.stop(); err != nil {
		return err
	}
	if err := s.fill(func(f *filling) error { return f.events(trail) }); err != nil {
		return err
	}
	if _, err := s.start(); err != nil {
		return err
	}
	began := time.Now()
	if err := s.sealed(); err != nil {
		return err
	}
	took := time.Since(began)
	b.value("a backlog sealed, while serving", "%d rows in %.1f s, %.0f rows/s", trail, took.Seconds(), trail/took.Seconds())
	began = time.Now()
	out, err := run(s.env, s.program, "audit", "verify", "--data", s.data, "--json")
	if err != nil {
		return err
	}
	var v struct {
		OK       bool
		Verified int
	}
	if err := json.Unmarshal(out, &v); err != nil {
		return err
	}
	if !v.OK || v.Verified < trail {
		return fmt.Errorf("audit verify: %s", out)
	}
	took = time.Since(began)
	b.value("audit verify", "%d rows in %.1f s, %.0f rows/s", v.Verified, took.Seconds(), float64(v.Verified)/took.Seconds())
	return nil
}

// sealed waits until the whole audit trail is sealed.
func (s *server) sealed() error {
	const patience = 10 * time.Minute
	db, err := sql.Open("sqlite", "file:"+filepath.Join(s.data, store.DatabaseFile)+"?mode=ro&_pragma=busy_timeout(5000)")
	if err != nil {
		return err
	}
	defer db.Close()
	for began := time.Now(); time.Since(began) < patience; time.Sleep(250 * time.Millisecond) {
		var more bool
		if err := db.QueryRow("SELECT EXISTS (SELECT 1 FROM events WHERE position IS NULL)").Scan(&more); err != nil || !more {
			return err
		}
	}
	return fmt.Errorf("the audit trail is not sealed after %s", patience)
}
