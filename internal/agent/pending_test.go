//go:build linux

package agent_test

import (
	"testing"

	"latchkey/internal/agent"
	"latchkey/internal/frame"
)

// L10: on a machine that waits for approval the name may well be right.
func TestL10AMachineThatWaitsSaysThatItDoes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	joined, err := agent.Enroll(t.Context(), agent.Join{Token: w.token(), State: w.state + "2", Name: "pc-1", Clock: w.reading})
	w.ok(err)
	if !joined.Pending {
		t.Fatal("it does not wait")
	}
	w.state += "2"
	w.user("ana")
	w.start()
	w.sync()
	v := w.logon(&typist{}, frame.Begin{Service: "login", User: "ana"})
	w.expect(v.Outcome.String()+" "+v.Reason, "deny unknown_identity", "while it waits")
	contains(t, v.Text, "This machine waits for an administrator's approval")
	w.ok(w.fleet.Approve(t.Context(), "admin", "pc-1"))
	w.sync()
	contains(t, w.logon(&typist{}, frame.Begin{Service: "login", User: "nobody"}).Text, "This account is not known here.")
	w.expect(w.signIn("ana", w.next("ana")), "allow verified_online", "after the approval")
}
