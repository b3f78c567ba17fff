//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// A machine is an agent, its state and a PAM application in front of it.
type machine struct {
	*process
	b      *bench
	agent  string // the program
	env    []string
	state  string
	socket string
	door   *driver
}

// enroll joins a machine to the server that made the token.
func (b *bench) enroll(name, program, token string, env ...string) (*machine, error) {
	m := &machine{b: b, agent: filepath.Join(b.bin, program), env: env, state: filepath.Join(b.dir, name)}
	m.socket = filepath.Join(b.dir, name+".sock")
	if err := os.Mkdir(m.state, 0o700); err != nil {
		return nil, err
	}
	path := filepath.Join(b.dir, name+".token")
	if err := os.WriteFile(path, []byte(token+"\n"), 0o600); err != nil {
		return nil, err
	}
	_, err := run(env, m.agent, "enroll", "--token-file", path, "--state", m.state, "--name", name)
	return m, err
}

// start runs the agent and opens the machine's door.
func (m *machine) start() (err error) {
	m.process, err = start(m.env, m.agent, "run", "--state", m.state, "--socket", m.socket, "--admin-socket", m.socket+".admin")
	if err != nil {
		return err
	}
	m.b.running = append(m.b.running, m.process)
	err = m.until("its sockets", func() bool {
		_, first := os.Stat(m.socket)
		_, second := os.Stat(m.socket + ".admin")
		return first == nil && second == nil
	})
	if err != nil {
		return err
	}
	m.door, err = m.b.newDriver(filepath.Join(m.b.bin, "pam_latchkey.so") + " socket=" + m.socket)
	return err
}

// holds waits until the machine has the codes of so many users.
func (m *machine) holds(users int) error {
	for began := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		n, err := m.held()
		if err != nil || n == users {
			return err
		}
		if time.Since(began) > time.Minute {
			return fmt.Errorf("after a minute the machine holds the codes of %d users instead of %d", n, users)
		}
	}
}

func (m *machine) held() (users int, err error) {
	out, err := run(m.env, m.agent, "status", "--json", "--admin-socket", m.socket+".admin")
	if err != nil {
		return 0, err
	}
	var status struct {
		Users []struct {
			User           string
			Authenticators []json.RawMessage
		}
	}
	if err := json.Unmarshal(out, &status); err != nil {
		return 0, err
	}
	for _, u := range status.Users {
		if len(u.Authenticators) > 0 {
			users++
		}
	}
	return users, nil
}
