//go:build linux

package lab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Enroll joins the machine to the server that made the token.
func (m *Machine) Enroll(token string) {
	m.lab.tb.Helper()
	path := m.file("token", token+"\n", 0o600)
	defer os.Remove(path)
	r := m.Cell.finish(m.agent("enroll", "--token-file", path, "--state", m.State, "--name", m.name), "")
	if r.Code != 0 {
		m.lab.tb.Fatalf("lab: enrolling %s: %v", m.name, r)
	}
}

// RunAgent starts the agent, again after Stop or Kill, and waits for its sockets.
func (m *Machine) RunAgent(args ...string) {
	m.lab.tb.Helper()
	for _, socket := range []string{loginAgent, adminAgent} {
		os.Remove(m.Path(socket)) // of an agent that was killed: its file says nothing about this one
	}
	m.Process = *m.Cell.start(filepath.Join(m.dir, "agent.log"), m.agent(append([]string{
		"run", "--state", m.State, "--socket", loginAgent, "--admin-socket", adminAgent, "--user", agentUser,
	}, args...)...))
	m.ready("the sockets", func() bool { return isSocket(m.Path(loginAgent)) && isSocket(m.Path(adminAgent)) })
}

func isSocket(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode()&os.ModeSocket != 0
}

func (m *Machine) agent(args ...string) *exec.Cmd {
	program := programs(m.lab.tb).Agent
	if m.clock != nil {
		program = programs(m.lab.tb).ClockAgent
	}
	cmd := m.Command(append([]string{program}, args...)...)
	cmd.Env = append(cmd.Env, m.clock.env()...)
	return cmd
}

// Try runs a verb of the agent's own command line, whatever comes of it.
func (m *Machine) Try(args ...string) Result {
	m.lab.tb.Helper()
	return m.Cell.finish(m.agent(append(args, "--admin-socket", adminAgent)...), "")
}

// Do is Try for a verb that has to succeed; it returns what was printed.
func (m *Machine) Do(args ...string) string {
	m.lab.tb.Helper()
	r := m.Try(args...)
	if r.Code != 0 {
		m.lab.tb.Fatalf("lab: %s: latchkey-agent %s: %v", m.name, strings.Join(args, " "), r)
	}
	return r.Stdout
}

// JSON is Do with --json; it reads the answer into v.
func (m *Machine) JSON(v any, args ...string) {
	m.lab.tb.Helper()
	decode(m.lab.tb, m.Try(append(args, "--json")...), v)
}

// A Login is what came of one login by the agent's own front-end.
type Login struct {
	Transcript string // prompts and the verdict, as `login --script` prints them
	Code       int    // 0 when the user was let in
	Stderr     string
}

// Verdict returns the last line's outcome and reason: "allow verified_online".
func (l Login) Verdict() string {
	verdict := ""
	for line := range strings.Lines(l.Transcript) {
		if rest, ok := strings.CutPrefix(line, "< VERDICT "); ok {
			verdict = strings.TrimSpace(rest)
		}
	}
	return verdict
}

// Login signs a user in at the console with answers given beforehand.
func (m *Machine) Login(user string, answers ...string) Login {
	m.lab.tb.Helper()
	return m.LoginTo("console", user, answers...)
}

// LoginTo is Login in another scenario.
func (m *Machine) LoginTo(scenario, user string, answers ...string) Login {
	m.lab.tb.Helper()
	cmd := m.agent("login", user, "--scenario", scenario, "--uid", fmt.Sprint(m.UID(user)), "--script", "--socket", loginAgent)
	stdin := ""
	for _, a := range answers {
		stdin += a + "\n"
	}
	r := m.Cell.finish(cmd, stdin)
	return Login{Transcript: r.Stdout, Code: r.Code, Stderr: r.Stderr}
}
