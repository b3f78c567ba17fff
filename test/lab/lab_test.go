//go:build linux

package lab_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"latchkey/test/lab"
)

// The lab must be real before anything tested in it can be: these tests use
// its parts without Latchkey.

func TestTheDoorsOfAMachineAreReal(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	m := l.Machine("laptop", nil, "ana", "ben")
	m.ServeSSH("keyboard-interactive")

	for name, tc := range map[string]struct {
		door  func(password string) *lab.Terminal
		shown string // when the password is right
	}{
		"ssh": {func(password string) *lab.Terminal {
			term := m.SSH("ana", "id", "-un")
			term.Expect(`assword: `)
			term.Type(password)
			return term
		}, `\bana\b`},
		"sudo": {func(password string) *lab.Terminal {
			term := m.As("ana", "sudo", "-k", "id")
			term.Expect(`assword for ana: `)
			term.Type(password)
			return term
		}, `uid=0\(root\)`},
		"su": {func(password string) *lab.Terminal {
			term := m.As("ben", "su", "-", "ana", "-c", "id -un")
			term.Expect(`assword: `)
			term.Type(password)
			return term
		}, `\bana\b`},
		"login": {func(password string) *lab.Terminal {
			term := m.OnTerminal("login")
			term.Expect(`login: `)
			term.Type("ana")
			term.Expect(`assword: `)
			term.Type(password)
			if password == lab.Password {
				term.Expect(`\$ `)
				term.Type("id -un; exit")
			}
			return term
		}, `\bana\b`},
	} {
		t.Run(name+" lets the right password in", func(t *testing.T) {
			term := tc.door(lab.Password)
			term.Expect(tc.shown)
			if code := term.Wait(); code != 0 {
				t.Errorf("exit code %d\n%s", code, term.Shown())
			}
		})
		t.Run(name+" refuses a wrong password", func(t *testing.T) {
			term := tc.door("wrong")
			term.Expect(`(?i)denied|sorry|failure|incorrect`)
		})
	}
}

func TestSSHCanDemandAKeyFirst(t *testing.T) {
	t.Parallel()
	m := lab.New(t).Machine("laptop", nil, "ana", "ben")
	m.ServeSSH("publickey,keyboard-interactive")
	m.Authorize("ana")

	term := m.SSH("ana", "id", "-un")
	term.Expect(`assword: `)
	term.Type(lab.Password)
	term.Expect(`\bana\b`)

	m.SSH("ben", "id", "-un").Expect(`Permission denied \(publickey\)`)
}

func TestCutsDifferAsTheyDoInLife(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	m := l.Machine("laptop", nil, "ana")
	l.Listen(8444)

	// What one attempt to connect meets within two seconds.
	attempt := func() (answer string, took time.Duration) {
		start := time.Now()
		r := m.Run("", "timeout", "2", "bash", "-c", "exec 3<>/dev/tcp/"+lab.ServerName+"/8444")
		switch {
		case r.Code == 0:
			answer = "connected"
		case r.Code == 124:
			answer = "silence"
		default:
			answer = r.Stderr
		}
		return answer, time.Since(start)
	}
	if answer, _ := attempt(); answer != "connected" {
		t.Fatalf("before any cut: %s", answer)
	}
	for _, tc := range []struct {
		cut  lab.Cut
		want string
	}{
		{lab.Unplugged, "Network is unreachable"},
		{lab.ServerGone, "silence"},
		{lab.BlackHole, "silence"},
		{lab.Rejected, "No route to host"},
		{lab.PortsClosed, "Connection refused"},
	} {
		m.Cut(tc.cut)
		if answer, took := attempt(); !strings.Contains(answer, tc.want) {
			t.Errorf("%s: %s after %v, want %s", tc.cut, answer, took, tc.want)
		}
		m.Restore()
		if answer, _ := attempt(); answer != "connected" {
			t.Errorf("after %s was undone: %s", tc.cut, answer)
		}
	}
}

func TestAClosedLabLeavesNothing(t *testing.T) {
	var dir, name string
	t.Run("a lab", func(t *testing.T) {
		l := lab.New(t)
		m := l.Machine("laptop", nil, "ana")
		m.ServeSSH("keyboard-interactive")
		m.SSH("ana", "id").Expect(`assword: `) // and left hanging there
		dir = l.Dir()
		name = strings.TrimPrefix(dir, "/tmp/")
	})
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", dir, err)
	}
	if out, _ := exec.Command("ip", "netns", "list").Output(); strings.Contains(string(out), name) {
		t.Errorf("a namespace is still there:\n%s", out)
	}
	if out, _ := exec.Command("pgrep", "-af", name).Output(); len(out) != 0 {
		t.Errorf("a process is still there:\n%s", out)
	}
}
