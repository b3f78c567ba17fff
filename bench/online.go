//go:build linux

package main

import (
	"fmt"
	"path/filepath"
	"time"

	"latchkey/internal/agent/keystore"
	"latchkey/internal/api"
)

// A deployment is a server with many users.
type deployment struct {
	server *server
	people []*user
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
	conns, err := d.server.connect()
	if err != nil {
		return err
	}
	l := &load{d.server, d.people[theirs:], conns}
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

// connect enrolls the machines of the load and connects them.
func (s *server) connect() ([]*client, error) {
	text, err := s.machineToken(machines)
	if err != nil {
		return nil, err
	}
	token, err := api.ParseToken(text)
	if err != nil {
		return nil, err
	}
	var out []*client
	for i := range machines {
		name := fmt.Sprintf("load-%d", i)
		keys, err := keystore.Create(filepath.Join(s.b.dir, name))
		if err != nil {
			return nil, err
		}
		c, err := dial(s.agents, keys.Identity(), s.ca)
		if err != nil {
			return nil, err
		}
		var joined api.EnrollResponse
		err = c.post(api.EnrollPath, api.EnrollRequest{
			Secret: token.Secret, Name: name, OS: "bench", AgentVersion: "bench",
			KeyClass: keys.Class(), SealingKey: keys.Sealing().PublicKey().Bytes(),
		}, &joined)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}
