//go:build linux

// Package faults_test holds Latchkey to its limits and breaks what it stands
// on: networks, processes, disks, and the secrecy of what lies on them. It
// knows the public contract alone: programs, options, exit codes, JSON,
// transcripts, sockets.
package faults_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"latchkey/test/lab"
)

// A world is a server, a laptop, and people with what they carry.
type world struct {
	*lab.Lab
	t      *testing.T
	clock  *lab.Clock
	server *lab.Server
	laptop *lab.Machine
	apps   map[string]*lab.Authenticator
	tokens map[string]*lab.Authenticator
}

// newWorld brings up a world whose people have an account on the laptop and at
// the server, and nothing to confirm with. Options go to latchkey serve.
func newWorld(t *testing.T, people []string, options ...string) *world {
	t.Helper()
	l := lab.New(t)
	w := &world{Lab: l, t: t, clock: l.Clock("all"), apps: map[string]*lab.Authenticator{}, tokens: map[string]*lab.Authenticator{}}
	w.server = l.Serve(w.clock, options...)
	for _, name := range people {
		w.server.Do("user", "add", name)
	}
	w.laptop = w.machine("laptop", people...)
	return w
}

// newAna is the usual world: ana has an app.
func newAna(t *testing.T, options ...string) *world {
	t.Helper()
	w := newWorld(t, []string{"ana", "ben"}, options...)
	w.app("ana")
	return w
}

// machine adds a machine with a running agent.
func (w *world) machine(name string, people ...string) *lab.Machine {
	w.t.Helper()
	m := w.Lab.Machine(name, w.clock, people...)
	m.Enroll(w.server.MachineToken())
	m.RunAgent()
	return m
}

func (w *world) app(user string) { w.t.Helper(); w.apps[user] = w.server.Totp(user) }

func (w *world) token(user string) { w.t.Helper(); w.tokens[user] = w.server.Hotp(user) }

// policy gives one user a policy of his own; rules is the inside of its
// document.
func (w *world) policy(user, rules string) {
	w.t.Helper()
	if rules != "" {
		rules = "," + rules
	}
	w.server.Policy(fmt.Sprintf(`{"name":%q,"priority":10,"users":[%[1]q]%s}`, user, rules))
}

// code is a code of a user's app that was never used: time goes on to the next
// step.
func (w *world) code(user string) string {
	w.t.Helper()
	a := w.apps[user]
	w.clock.NextStep(a.Period)
	return a.Code(w.clock.Now())
}

// in signs a user in at the console of a machine with his app.
func (w *world) in(m *lab.Machine, user string) lab.Login {
	w.t.Helper()
	return m.Login(user, w.code(user))
}

// ready signs a user in online and brings over what he may do offline.
func (w *world) ready(m *lab.Machine, user string) {
	w.t.Helper()
	w.want(w.in(m, user), "allow verified_online")
	m.Do("sync")
}

const (
	online  = "allow verified_online"
	offline = "allow verified_offline"
	used    = "deny code_already_used"
	wrong   = "deny wrong_code"
	over    = "deny offline_limit_reached"
)

// want fails the test unless a login ended so, with the exit code that belongs
// to it.
func (w *world) want(got lab.Login, want string, about ...any) {
	w.t.Helper()
	verdict(w.t, got, want, about...)
}

func verdict(t *testing.T, got lab.Login, want string, about ...any) {
	t.Helper()
	if got.Verdict() != want || (got.Code == 0) != enters(want) {
		t.Errorf("%sverdict %q with exit code %d, want %q\n%s%s", fmt.Sprintln(about...), got.Verdict(), got.Code, want, got.Transcript, got.Stderr)
	}
}

func enters(verdict string) bool {
	return strings.HasPrefix(verdict, "allow ") || strings.HasPrefix(verdict, "not-required ")
}

// shows fails the test unless a login's screen, or what is said after it, has
// the text.
func (w *world) shows(got lab.Login, text string) {
	w.t.Helper()
	if !strings.Contains(got.Transcript+got.Stderr, text) {
		w.t.Errorf("nobody is told %q:\n%s%s", text, got.Transcript, got.Stderr)
	}
}

type event struct {
	Kind, User, Machine, Outcome, Reason string
	Offline                              bool
	Time                                 time.Time
	Detail                               json.RawMessage
}

// audit returns the events of a user with a reason; "" is any.
func (w *world) audit(user, reason string) []event {
	w.t.Helper()
	var all, found []event
	w.server.JSON(&all, "audit", "list", "--limit", "1000")
	for _, e := range all {
		if (user == "" || e.User == user) && (reason == "" || e.Reason == reason) {
			found = append(found, e)
		}
	}
	return found
}

// incidents returns the events whose kind speaks of an incident.
func (w *world) incidents() []event {
	w.t.Helper()
	var found []event
	for _, e := range w.audit("", "") {
		if strings.Contains(e.Kind, "incident") || strings.Contains(e.Kind, "quarantine") || strings.Contains(e.Kind, "alarm") {
			found = append(found, e)
		}
	}
	return found
}

type agentStatus struct {
	Machine       string
	Online        bool
	State         string
	Problem       string
	Mode          string
	PendingEvents int  `json:"pending_events"`
	Corrupt       bool `json:"state_corrupt"`
	Alarms        map[string]int
	Users         []struct {
		User       string
		LoginsLeft *int       `json:"logins_left"`
		ValidUntil *time.Time `json:"valid_until"`
		Enrolled   bool
		Denied     string
	}
}

func status(m *lab.Machine) (s agentStatus) {
	m.JSON(&s, "status")
	return s
}

// until polls for something that nobody announces.
func until(t *testing.T, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !so(); {
		if time.Now().After(deadline) {
			t.Fatalf("waited 30 seconds for %s", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func replaced(text, old, by string) string { return strings.ReplaceAll(text, old, by) }
