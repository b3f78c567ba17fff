//go:build linux

package faults_test

import (
	"strings"
	"testing"

	"latchkey/test/lab"
)

// join tries a token on a machine that has no agent yet.
func join(w *world, m *lab.Machine, token string) lab.Result {
	w.t.Helper()
	program := w.Programs().Agent
	return m.Run(token+"\n", program, "enroll", "--token-file", "-", "--state", m.State, "--name", "new")
}

func TestATokenOpensTheDoorOnceInTimeAndUnaltered(t *testing.T) {
	t.Parallel()
	w := newWorld(t, []string{"ana"}) // the laptop has used a token up
	m := w.Lab.Machine("new", w.clock, "ana")
	var made struct{ Token string }
	w.server.JSON(&made, "machine", "token", "create", "--ttl", "1h", "--uses", "2")
	good := made.Token

	flip := func(i int) string {
		c := byte('A')
		if good[i] == c {
			c = 'B'
		}
		return good[:i] + string(c) + good[i+1:]
	}
	for name, token := range map[string]string{
		"empty": "", "words": "please let me in", "half": good[:len(good)/2], "doubled": good + good, "longer": good + "A",
		"altered at the start": flip(0), "altered in the middle": flip(len(good) / 2), "altered at the end": flip(len(good) - 1),
		"of somebody else": "lk" + strings.Repeat("x", 100),
	} {
		r := join(w, m, token)
		if r.Code == 0 || !strings.Contains(r.Stderr, "error: ") {
			t.Errorf("a token that is %s: %v", name, r)
		}
		if token != "" && len(token) > 40 && strings.Contains(r.Stdout+r.Stderr, token) {
			t.Errorf("a token that is %s is printed: %v", name, r)
		}
	}

	// What failed cost no use, and left nothing that stands in the way.
	r := join(w, m, good)
	if r.Code != 0 {
		t.Fatalf("the good token after the bad ones: %v", r)
	}
	if r := join(w, m, good); r.Code == 0 || !strings.Contains(r.Stderr, "enrolled already") {
		t.Errorf("joining twice: %v", r)
	}

	w.clock.Pass(2 * day) // the token is over, and the machine is not
	late := w.Lab.Machine("late", w.clock, "ana")
	if r := join(w, late, good); r.Code == 0 {
		t.Errorf("L02 a token that has expired: %v", r)
	}
	w.server.JSON(&made, "machine", "token", "create")
	if r := join(w, late, made.Token); r.Code != 0 {
		t.Errorf("a fresh token after one that had expired: %v", r)
	}
	other := w.Lab.Machine("other", w.clock, "ana")
	if r := join(w, other, made.Token); r.Code == 0 {
		t.Errorf("L02 a token that was used up: %v", r)
	}
}

func TestL10TheSameNameWithAnotherKeyWaitsForApproval(t *testing.T) {
	t.Parallel()
	w := newAna(t)
	w.ready(w.laptop, "ana")
	twin := w.Lab.Machine("laptop2", w.clock, "ana")
	r := twin.Run(w.server.MachineToken()+"\n", w.Programs().Agent, "enroll", "--token-file", "-", "--state", twin.State, "--name", "laptop")
	if r.Code != 0 || !strings.Contains(r.Stdout+r.Stderr, "approve") {
		t.Fatalf("L10 %v", r)
	}
	twin.RunAgent()
	if got := w.in(twin, "ana"); got.Code == 0 {
		t.Errorf("L10 a machine that nobody approved of lets ana in:\n%s", got.Transcript)
	}
	twin.Try("sync")
	twin.Cut(lab.PortsClosed)
	if got := w.in(twin, "ana"); got.Code == 0 {
		t.Errorf("L10 it holds something to decide with:\n%s", got.Transcript)
	}
	twin.Restore()
	w.want(w.in(w.laptop, "ana"), online, "L10 the first one goes on")

	var all []struct{ ID, Name, State string }
	w.server.JSON(&all, "machine", "list")
	pending := ""
	for _, m := range all {
		if m.State == "pending" {
			pending = m.ID
		}
	}
	if len(all) != 2 || pending == "" {
		t.Fatalf("L10 machine list: %+v", all)
	}
	w.server.Do("machine", "approve", pending)
	twin.Kill()
	twin.RunAgent()
	w.want(w.in(twin, "ana"), online, "L10 approved")
	if got := w.in(w.laptop, "ana"); got.Verdict() == online {
		t.Errorf("L10 the machine that was replaced still asks the server:\n%s", got.Transcript)
	}
}
