//go:build linux

package e2e_test

import (
	"strings"
	"testing"

	"latchkey/test/lab"
)

// newDoors is a world whose laptop asks at every front door.
func newDoors(t *testing.T, ssh string) *world {
	t.Helper()
	w := newWorld(t)
	w.laptop.ProtectAll()
	w.laptop.ServeSSH(ssh)
	return w
}

// password answers a door's question for the password.
func password(term *lab.Terminal) *lab.Terminal {
	term.Expect(`assword.*: `)
	term.Type(lab.Password)
	return term
}

func TestSSHAsksForTheCodeOnlineAndOffline(t *testing.T) {
	t.Parallel()
	w := newDoors(t, "keyboard-interactive")

	ssh := password(w.laptop.SSH("ana", "id", "-un"))
	ssh.Expect(`One-time code: `)
	ssh.Type(w.code())
	ssh.Expect(`\bana\b`)
	if code := ssh.Wait(); code != 0 {
		t.Fatalf("ssh ended with %d\n%s", code, ssh.Shown())
	}
	w.laptop.Do("sync")

	w.laptop.Cut(lab.BlackHole)
	ssh = password(w.laptop.SSH("ana", "id", "-un"))
	ssh.Expect(`One-time code \(150 offline logins left, until \d+ \w+\): `)
	used := w.code()
	ssh.Type(used)
	ssh.Expect(`\bana\b`)
	ssh.Wait()

	ssh = password(w.laptop.SSH("ana", "id", "-un"))
	ssh.Expect(`One-time code \(149 offline logins left`)
	ssh.Type(used)
	if code := ssh.Wait(); code == 0 {
		t.Errorf("B01 a used code let ana in again\n%s", ssh.Shown())
	}
}

func TestSSHWithAKeyStillAsksForTheCode(t *testing.T) {
	t.Parallel()
	w := newDoors(t, "publickey,keyboard-interactive")
	w.laptop.Authorize("ana")

	ssh := password(w.laptop.SSH("ana", "id", "-un"))
	ssh.Expect(`One-time code: `)
	ssh.Type("000000")
	if code := ssh.Wait(); code == 0 {
		t.Errorf("M04 a key and a wrong code let ana in\n%s", ssh.Shown())
	}
}

func TestAWrongPasswordIsNeverAskedForACode(t *testing.T) {
	t.Parallel()
	w := newDoors(t, "keyboard-interactive")
	ssh := w.laptop.SSH("ana", "id", "-un")
	ssh.Expect(`assword: `)
	ssh.Type("wrong")
	ssh.Wait()
	if strings.Contains(ssh.Shown(), "One-time code") {
		t.Errorf("C09 asked for a code after a wrong password\n%s", ssh.Shown())
	}
}

func TestSudoSuAndLoginAsk(t *testing.T) {
	t.Parallel()
	w := newDoors(t, "keyboard-interactive")
	w.server.Do("user", "add", "ben")
	for name, tc := range map[string]struct {
		open    func() *lab.Terminal
		shown   string // to one who may
		refusal string // to one who may not; sudo has words of its own
	}{
		"sudo asks the one who calls": {func() *lab.Terminal { return w.laptop.As("ana", "sudo", "-k", "id") }, `uid=0\(root\)`, `try again`},
		"su asks the one it becomes":  {func() *lab.Terminal { return w.laptop.As("ben", "su", "-", "ana", "-c", "id -un") }, `\bana\b`, `not right`},
		"login asks at the console":   {func() *lab.Terminal { return w.laptop.OnTerminal("login", "ana") }, `\$ `, `not right`},
	} {
		t.Run(name, func(t *testing.T) {
			door := password(tc.open())
			door.Expect(`One-time code.*: `)
			door.Type(w.code())
			door.Expect(tc.shown)

			door = password(tc.open())
			door.Expect(`One-time code.*: `)
			door.Type("000000")
			door.Expect(tc.refusal)
		})
	}
}

func TestWithoutAnAgentTheDoorsStayShut(t *testing.T) {
	t.Parallel()
	w := newDoors(t, "keyboard-interactive")
	w.laptop.Kill()
	ssh := password(w.laptop.SSH("ana", "id", "-un"))
	if code := ssh.Wait(); code == 0 {
		t.Errorf("F07 the password alone let ana in without an agent\n%s", ssh.Shown())
	}
}

func TestTheRefusalTellsWhatToDo(t *testing.T) {
	t.Parallel()
	w := newDoors(t, "keyboard-interactive")
	w.server.Policy(`{"name":"default","offline":{"enabled":true,"days":7,"logins":1}}`)
	w.readyForOffline(t)
	w.laptop.Cut(lab.Unplugged)
	verdict(t, w.laptop.Login("ana", w.code()), "allow verified_offline")

	for name, door := range map[string]*lab.Terminal{
		"ssh":   w.laptop.SSH("ana", "id", "-un"),
		"login": w.laptop.OnTerminal("login", "ana"),
	} {
		password(door).Expect(`Offline logins are used up`)
		if strings.Contains(door.Shown(), "One-time code") {
			t.Errorf("C01 %s asks for a code that cannot help\n%s", name, door.Shown())
		}
	}
}
