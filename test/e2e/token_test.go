//go:build linux

package e2e_test

import (
	"testing"

	"latchkey/test/lab"
)

func TestAHardwareTokenWorksOfflineAndNeverGoesBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.server.Do("user", "add", "ben")
	token := w.server.Hotp("ben")
	verdict(t, w.laptop.Login("ben", token.Press()), "allow verified_online")
	w.laptop.Do("sync")
	w.laptop.Cut(lab.Unplugged)

	first := token.Press()
	token.Press() // in the pocket
	third := token.Press()
	verdict(t, w.laptop.Login("ben", third), "allow verified_offline")
	for name, code := range map[string]string{"the one before": first, "the same": third} {
		if login := w.laptop.Login("ben", code); login.Code == 0 {
			t.Errorf("B10 %s was taken again:\n%s", name, login.Transcript)
		}
	}

	w.laptop.Restore()
	w.laptop.Do("sync")
	if login := w.laptop.Login("ben", third); login.Code == 0 {
		t.Errorf("B10 used offline, reported, and taken online:\n%s", login.Transcript)
	}
	verdict(t, w.laptop.Login("ben", token.Press()), "allow verified_online")
}

func TestTheAgentSaysWhetherOneIsReadyToTravel(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	type status struct {
		Machine string
		Online  bool
		Users   []struct {
			User       string
			LoginsLeft *int `json:"logins_left"`
		}
	}
	var before, after status
	w.laptop.JSON(&before, "status")
	if before.Machine != "laptop" || len(before.Users) != 0 {
		t.Errorf("status of a fresh machine: %+v", before)
	}
	w.readyForOffline(t)
	w.laptop.Cut(lab.Unplugged)
	verdict(t, w.laptop.Login("ana", w.code()), "allow verified_offline")
	w.laptop.JSON(&after, "status")
	if after.Online || len(after.Users) != 1 || after.Users[0].User != "ana" {
		t.Fatalf("status offline: %+v", after)
	}
	if left := after.Users[0].LoginsLeft; left == nil || *left != 149 {
		t.Errorf("logins left: %v, want 149", left)
	}
}

func TestTheFirstUseOfACodeWinsAcrossTwoMachines(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	desk := w.Machine("desk", w.clock, "ana")
	desk.Enroll(w.server.MachineToken())
	desk.RunAgent()
	w.readyForOffline(t)
	verdict(t, desk.Login("ana", w.code()), "allow verified_online")
	desk.Do("sync")

	// The cable of one machine is cut, the other's is not.
	w.laptop.Cut(lab.Unplugged)
	code := w.code()
	verdict(t, w.laptop.Login("ana", code), "allow verified_offline")
	w.laptop.Restore()
	w.laptop.Do("sync")
	verdict(t, desk.Login("ana", code), "deny code_already_used") // B07 after the report
}
