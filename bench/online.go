//go:build linux

package main

import (
	"crypto/tls"
	"fmt"
	"time"
)

// A deployment is a server with many users, and the machines of the load.
type deployment struct {
	server   *server
	people   []*user
	machines []tls.Certificate
}

// theirs is how many of the users log in on the machine that goes offline; the
// load takes the others.
const theirs = 200

// deploy makes the server with the users, once.
func (b *bench) deploy() (*deployment, error) {
	if b.deployed != nil {
		return b.deployed, nil
	}
	s, err := b.newServer("server", "latchkey")
	if err != nil {
		return nil, err
	}
	began := time.Now()
	people, err := s.users(10000)
	if err != nil {
		return nil, err
	}
	b.made = time.Since(began)
	b.deployed = &deployment{server: s, people: people}
	return b.deployed, nil
}

// online measures what the server does for machines that reach it.
func (b *bench) online() error {
	d, err := b.deploy()
	if err != nil {
		return err
	}
	b.section("Database alone: one row changed and one event written per commit, durable")
	if err := b.database(2 * time.Second); err != nil {
		return err
	}
	if err := d.server.stop(); err != nil {
		return err
	}
	first, err := d.server.start()
	if err != nil {
		return err
	}
	idle, err := d.server.memory()
	if err != nil {
		return err
	}
	if err := b.levels(d); err != nil {
		return err
	}
	b.section("Server")
	b.value("start to first answer, 10,000 users", "%s", ms(first))
	b.value("memory after start", "%s", idle)
	busy, err := d.server.memory()
	if err != nil {
		return err
	}
	b.value("memory after the load", "%s", busy)
	b.value("users and authenticators added through the API", "10,000 of each in %.1f s", b.made.Seconds())
	return nil
}

func (b *bench) levels(d *deployment) error {
	identities, err := b.identities(d.server)
	if err != nil {
		return err
	}
	l, err := d.server.newLoad(d.people[theirs:], identities)
	if err != nil {
		return err
	}
	b.section("Online login over TLS: begin and answer, every code used once, durable")
	for _, at := range []struct {
		what    string
		clients int
		d       time.Duration
	}{
		{"first login of a user on a machine, 32 clients", 32, 0},
		{"later logins, 1 client", 1, 3 * time.Second},
		{"later logins, 8 clients", 8, 3 * time.Second},
		{"later logins, 32 clients", 32, 3 * time.Second},
	} {
		got, err := l.run(at.clients, at.d)
		if err != nil {
			return fmt.Errorf("%s: %w", at.what, err)
		}
		n := float64(len(got.took))
		b.times(at.what, got.took, fmt.Sprintf("%.0f logins/s", got.perSecond()), fmt.Sprintf("%.0f requests/s", 2*got.perSecond()),
			fmt.Sprintf("%.0f%% of the commits", 100*got.perSecond()/b.commits),
			fmt.Sprintf("CPU per login: server %.2f ms, client %.2f ms", 1000*got.server.Seconds()/n, 1000*got.clients.Seconds()/n))
	}
	return nil
}

// identities enrolls the machines of the load.
func (b *bench) identities(s *server) ([]tls.Certificate, error) {
	token, err := s.machineToken(machines)
	if err != nil {
		return nil, err
	}
	var out []tls.Certificate
	for i := range machines {

		m, err := b.enroll(fmt.Sprintf("load-%d", i), "latchkey-agent", token)
		if err != nil {
			return nil, err
		}
		identity, err := m.identity()
		if err != nil {
			return nil, err
		}
		out = append(out, identity)
	}
	return out, nil
}
