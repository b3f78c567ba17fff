//go:build linux

package main

import (
	"fmt"
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
	b.section("Database alone, durable")
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
	b.section("Online login over TLS, begin and answer: durable, every code used once")
	err = b.level(l, "first login of a user on a machine", machines, func() (level, error) { return l.run(machines, 0) })
	for _, clients := range []int{1, 8, 32} {
		if err == nil {
			l.rest(perSecond[clients] * seconds)
			err = b.level(l, "later logins", clients, func() (level, error) { return l.run(clients, seconds*time.Second) })
		}
	}
	if err != nil {
		return err
	}
	b.section("Online verification over TLS, the answer to a prompt: durable, every code used once")
	for _, clients := range []int{1, 8, 32} {
		l.rest(len(l.users))
		err := b.level(l, "verifications", clients, func() (level, error) { return l.verifications(clients, seconds*time.Second) })
		if err != nil {
			return err
		}
	}
	return nil
}

// seconds is how long a level lasts where the codes suffice, and perSecond more
// logins than a number of clients will get in one of them.
const seconds = 3

var perSecond = map[int]int{1: 2500, 8: 6000, 32: 10000}

// level runs one and prints its row.
func (b *bench) level(l *load, what string, clients int, run func() (level, error)) error {
	got, err := run()
	if err != nil {
		return fmt.Errorf("%s, %d clients: %w", what, clients, err)
	}
	n := float64(len(got.took))
	b.times(fmt.Sprintf("%s, %d client(s)", what, clients), got.took, fmt.Sprintf("%.0f per second", got.perSecond()),
		fmt.Sprintf("%.0f%% of the smallest commits", 100*got.perSecond()/b.commits),
		fmt.Sprintf("%.0f%% of a login's", 100*got.perSecond()/b.settled),
		fmt.Sprintf("processor time: server %.2f ms, client %.2f ms", 1000*got.server.Seconds()/n, 1000*got.clients.Seconds()/n))
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
		keys, err := keystore.Create(s.data + "-" + name)
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
