package agent

import (
	"fmt"
	"testing"
	"time"

	"latchkey"
)

func TestAProofIsForOneUserAtOneServiceOnce(t *testing.T) {
	t.Parallel()
	uid, other := uint32(1001), uint32(1002)
	ana := latchkey.Logon{ID: "e1", User: "ana", UID: &uid, Service: "sshd"}
	for name, tc := range map[string]struct {
		event string
		ask   latchkey.Logon
		after time.Duration
		want  bool
	}{
		"the same login":         {"e1", ana, time.Second, true},
		"ten minutes later":      {"e1", ana, proofLife, true},
		"more than ten minutes":  {"e1", ana, proofLife + 1, false},
		"no event":               {"", ana, 0, false},
		"another event":          {"e2", ana, 0, false},
		"another uid":            {"e1", latchkey.Logon{User: "ana", UID: &other, Service: "sshd"}, 0, false},
		"the name without a uid": {"e1", latchkey.Logon{User: "ana", Service: "sshd"}, 0, false},
		"another service":        {"e1", latchkey.Logon{User: "ana", UID: &uid, Service: "login"}, 0, false},
		"another name, same uid": {"e1", latchkey.Logon{User: "ANA", UID: &uid, Service: "sshd"}, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var p proofs
			p.keep(latchkey.Logon{ID: "e0", User: "ben", Service: "sshd"}, 0)
			p.keep(ana, time.Hour)
			if got := p.spend(tc.event, tc.ask, time.Hour+tc.after); got != tc.want {
				t.Errorf("%v, want %v", got, tc.want)
			}
			if tc.event == "e1" && p.spend("e1", ana, time.Hour) {
				t.Error("it can be shown twice")
			}
		})
	}
}

func TestTheOldestProofsGoFirst(t *testing.T) {
	t.Parallel()
	var p proofs
	login := func(i int) latchkey.Logon {
		return latchkey.Logon{ID: fmt.Sprint("e", i), User: "ana", Service: "sshd"}
	}
	for i := range maxProofs + 2 {
		p.keep(login(i), 0)
	}
	if len(p.order) != maxProofs {
		t.Errorf("%d are kept", len(p.order))
	}
	if p.spend("e1", login(1), 0) || !p.spend("e2", login(2), 0) || !p.spend(fmt.Sprint("e", maxProofs+1), login(0), 0) {
		t.Error("not the oldest were forgotten")
	}
}
