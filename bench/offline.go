//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// samples is how many logins of each kind are timed.
const samples = 400

// offline measures logins that reach no server: of other modules first.
func (b *bench) offline() error {
	b.section("Offline login, pam_start to pam_end")
	if err := b.peers(samples); err != nil {
		return err
	}
	if err := b.small(); err != nil {
		return fmt.Errorf("one user: %w", err)
	}
	return b.large()
}

// smallSamples is how many logins of each kind one user can do: as many hours
// of his fourteen days.
const smallSamples = 300

// small is a server with one user, who is enrolled on one machine. Before each
// right code the clock moves on by an hour: by then there is a fresh one, and
// the longest delay for the wrong codes before is over.
func (b *bench) small() error {
	c := &clock{path: filepath.Join(b.dir, "clock")}
	if err := c.pass(0); err != nil {
		return err
	}
	env := "LATCHKEY_TEST_CLOCK=" + c.path
	s, err := b.newServer("small", "testclock/latchkey", env)
	if err != nil {
		return err
	}
	people, err := s.users(1)
	if err != nil {
		return err
	}
	if err := s.manyLogins(); err != nil {
		return err
	}
	m, err := s.machine("small-laptop", "testclock/latchkey-agent", env)
	if err != nil {
		return err
	}
	if _, err := m.online(people, c.now()); err != nil {
		return err
	}
	if err := s.stop(); err != nil {
		return err
	}
	right, wrong := make([]time.Duration, smallSamples), make([]time.Duration, smallSamples)
	for i := range smallSamples {
		if err := c.pass(time.Hour); err != nil {
			return err
		}
		if right[i], err = m.right(people[0], c.now()); err != nil {
			return err
		}
		if wrong[i], err = m.door.login(pamAuthErr, people[0].name, people[0].wrong(c.now())); err != nil {
			return err
		}
	}
	const name = "pam_latchkey, agent, no server; 1 user there, 1 here"
	b.times(name+": right code", right, "the clock moves on by an hour before each")
	b.times(name+": wrong code", wrong)
	return m.stop()
}

// large is a server with 10,000 users, of whom 200 are enrolled on a machine.
func (b *bench) large() error {
	d, err := b.deploy()
	if err != nil {
		return err
	}
	people := d.people[:theirs]
	m, err := d.server.machine("laptop", "latchkey-agent")
	if err != nil {
		return err
	}
	online, err := m.online(people, time.Now())
	if err != nil {
		return err
	}
	if err := d.server.stop(); err != nil {
		return err
	}
	var right, wrong []time.Duration
	for range samples / theirs {
		for _, u := range people {
			took, err := m.right(u, time.Now())
			if err != nil {
				return err
			}
			right = append(right, took)
		}
		for _, u := range people {
			took, err := m.door.login(pamAuthErr, u.name, u.wrong(time.Now()))
			if err != nil {
				return err
			}
			wrong = append(wrong, took)
		}
	}
	const name = "pam_latchkey, agent, no server; 10,000 users there, 200 here"
	b.times(name+": right code", right)
	b.times(name+": wrong code", wrong)
	b.times("pam_latchkey, agent, server; the same users: right code", online, "online, for comparison")
	return b.footprint(m)
}

// footprint measures what the agent needs while nobody logs in.
func (b *bench) footprint(m *machine) error {
	if err := m.stop(); err != nil {
		return err
	}
	if err := m.start(); err != nil {
		return err
	}
	b.section("Agent with the codes of 200 users for 7 days")
	time.Sleep(2 * time.Second) // what a start brings with it
	before, err := m.cpu()
	if err != nil {
		return err
	}
	time.Sleep(10 * time.Second)
	after, err := m.cpu()
	if err != nil {
		return err
	}
	b.value("processor time in 10 s without a login", "%s", ms(after-before))
	mem, err := m.memory()
	if err != nil {
		return err
	}
	b.value("memory after start", "%s", mem)
	return m.stop()
}

// machine enrolls a machine and starts its agent.
func (s *server) machine(name, program string, env ...string) (*machine, error) {
	token, err := s.machineToken(1)
	if err != nil {
		return nil, err
	}
	m, err := s.b.enroll(name, program, token, env...)
	if err != nil {
		return nil, err
	}
	return m, m.start()
}

// online logs everybody in while the server answers, and waits until the
// machine holds what they need without it.
func (m *machine) online(people []*user, now time.Time) ([]time.Duration, error) {
	var out []time.Duration
	for _, u := range people {
		took, err := m.right(u, now)
		if err != nil {
			return nil, err
		}
		out = append(out, took)
	}
	return out, m.holds(len(people))
}

// right logs a user in with the next code, waiting for one where need be.
func (m *machine) right(u *user, now time.Time) (time.Duration, error) {
	code, ok := u.next(now)
	for ; !ok; code, ok = u.next(time.Now()) {
		time.Sleep(100 * time.Millisecond)
	}
	return m.door.login(pamSuccess, u.name, code)
}

// manyLogins lets users log in offline more often, and longer, than most would.
func (s *server) manyLogins() error {
	path := filepath.Join(s.b.dir, "policy.json")
	const policy = `{"name": "default", "offline": {"days": 14, "logins": 1000}}`
	if err := os.WriteFile(path, []byte(policy), 0o600); err != nil {
		return err
	}
	_, err := run(append(s.env, "LATCHKEY_SERVER=https://"+s.admin, "LATCHKEY_TOKEN="+s.token, "LATCHKEY_CA="+s.caFile), s.program, "policy", "set", "-f", path)
	return err
}

// A clock is what the testclock programs take for the time.
type clock struct {
	path  string
	ahead time.Duration
}

func (c *clock) now() time.Time { return time.Now().Add(c.ahead) }

// pass lets time pass for them. The file is replaced as a whole.
func (c *clock) pass(d time.Duration) error {
	c.ahead += d
	text := fmt.Sprintf("%.6f %.6f\n", c.ahead.Seconds(), c.ahead.Seconds())
	if err := os.WriteFile(c.path+".new", []byte(text), 0o644); err != nil {
		return err
	}
	return os.Rename(c.path+".new", c.path)
}
