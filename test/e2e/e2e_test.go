//go:build linux

// Package e2e_test tells Latchkey's stories through its public contract alone:
// programs, options, exit codes, JSON, transcripts, real front doors.
package e2e_test

import (
	"bytes"
	"os"
	"testing"
	"time"

	"latchkey/test/lab"
)

// A world is a server with one user and a machine enrolled on it.
type world struct {
	*lab.Lab
	clock  *lab.Clock
	server *lab.Server
	laptop *lab.Machine
	app    *lab.Authenticator // ana's
}

// newWorld brings up a world in which ana has an app and has not signed in yet.
func newWorld(t *testing.T) *world {
	t.Helper()
	l := lab.New(t)
	w := &world{Lab: l, clock: l.Clock("all")}
	w.server = l.Serve(w.clock)
	w.server.Do("user", "add", "ana")
	w.app = w.server.Totp("ana")
	w.laptop = l.Machine("laptop", w.clock, "ana", "ben")
	w.laptop.Enroll(w.server.MachineToken())
	w.laptop.RunAgent()
	return w
}

// code waits, without waiting, for a step whose code was never used and returns
// that code.
func (w *world) code() string {
	w.clock.NextStep(w.app.Period)
	return w.app.Code(w.clock.Now())
}

// readyForOffline signs ana in once online and brings her offline data over.
func (w *world) readyForOffline(t *testing.T) {
	t.Helper()
	verdict(t, w.laptop.Login("ana", w.code()), "allow verified_online")
	w.laptop.Do("sync")
}

// verdict fails the test unless the login ended so, with the exit code that
// belongs to it.
func verdict(t *testing.T, got lab.Login, want string) {
	t.Helper()
	let := len(want) > 5 && want[:5] == "allow"
	if got.Verdict() != want || (got.Code == 0) != let {
		t.Errorf("verdict %q with exit code %d, want %q\n%s%s", got.Verdict(), got.Code, want, got.Transcript, got.Stderr)
	}
}

type auditEvent struct {
	Kind, User, Machine, Outcome, Reason string
	Offline                              bool
	Time                                 time.Time
}

// events returns the audit trail's events of a user with a reason.
func (w *world) events(user, reason string) []auditEvent {
	var all, found []auditEvent
	w.server.JSON(&all, "audit", "list")
	for _, e := range all {
		if e.User == user && e.Reason == reason {
			found = append(found, e)
		}
	}
	return found
}

func contains(t *testing.T, path, text string) bool {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Contains(data, []byte(text))
}
