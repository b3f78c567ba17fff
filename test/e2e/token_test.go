//go:build linux

package e2e_test

import (
	"strings"
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

func TestAHardwareTokenMovesBetweenTwoLaptops(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.server.Do("user", "add", "ben")
	token := w.server.Hotp("ben")
	tablet := w.Machine("tablet", w.clock, "ben")
	tablet.Enroll(w.server.MachineToken())
	tablet.RunAgent()

	var held []struct {
		ID    string
		Lease *struct{ Machine string }
	}
	lease := func() (id, machine string) {
		w.server.JSON(&held, "authenticator", "list", "ben")
		if len(held) != 1 {
			t.Fatalf("ben has %+v", held)
		}
		if held[0].Lease != nil {
			machine = held[0].Lease.Machine
		}
		return held[0].ID, machine
	}

	// The laptop has the codes; the tablet asks the server.
	verdict(t, w.laptop.Login("ben", token.Press()), "allow verified_online")
	w.laptop.Do("sync")
	verdict(t, tablet.Login("ben", token.Press()), "allow verified_online")
	tablet.Do("sync")
	id, machine := lease()
	if machine != "laptop" {
		t.Errorf("the lease is on %q", machine)
	}
	tablet.Cut(lab.Unplugged)
	verdict(t, tablet.Login("ben", token.Press()), "deny not_enrolled_here") // B08
	tablet.Restore()

	// The laptop travels, and the administrator gives the codes to the tablet.
	w.laptop.Cut(lab.Unplugged)
	stale := token.Press()
	verdict(t, w.laptop.Login("ben", stale), "allow verified_offline")
	w.server.Do("authenticator", "lease", "move", id, "tablet")
	if _, machine = lease(); machine != "tablet" {
		t.Errorf("the lease is on %q", machine)
	}
	tablet.Do("sync")
	tablet.Cut(lab.Unplugged)
	login := tablet.Login("ben", stale) // the tablet cannot know that it was used
	verdict(t, login, "allow verified_offline")
	if !strings.Contains(login.Transcript, "left with this token") {
		t.Errorf("E15 the prompt does not say how many codes are left:\n%s", login.Transcript)
	}

	// Home again: one incident, both machines in order, and the laptop's codes
	// are gone.
	tablet.Restore()
	tablet.Do("sync")
	w.laptop.Restore()
	w.laptop.Do("sync")
	var incidents []struct{ Kind string }
	w.server.JSON(&incidents, "audit", "list", "--kind", "incident")
	if len(incidents) != 1 {
		t.Errorf("%d incidents, want 1", len(incidents))
	}
	w.laptop.Cut(lab.Unplugged)
	verdict(t, w.laptop.Login("ben", token.Press()), "deny not_enrolled_here") // B09
	w.laptop.Restore()
	verdict(t, w.laptop.Login("ben", token.Press()), "allow verified_online")

	// In the pocket it is pressed and pressed.
	for range 20 {
		token.Press()
	}
	first, second := token.Press(), token.Press()
	login = w.laptop.Login("ben", first, second)
	verdict(t, login, "allow verified_online")
	if !strings.Contains(login.Transcript, "Press the token once more and type the next code") {
		t.Errorf("nobody asked for the next code:\n%s", login.Transcript)
	}
	for range 100 {
		token.Press()
	}
	verdict(t, w.laptop.Login("ben", token.Press()), "deny wrong_code")
	w.server.Do("authenticator", "resync", id, token.Press(), token.Press())
	verdict(t, w.laptop.Login("ben", token.Press()), "allow verified_online")
}
