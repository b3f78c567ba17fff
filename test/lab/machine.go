//go:build linux

package lab

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Password is every test user's.
const (
	Password = "correct horse"
	shadow   = "$6$rounds=1000$latchkey$sV6uxnGCxb/5AuuIGUx8d2vJP73s5IAY6SdhTMkcp94rLoPecD/ybq.l0lyvJDpwkfALaLGBLJzy2pQarBdt3."
)

const (
	firstUID   = 61001
	agentUser  = "latchkey-agent"
	agentUID   = 61000
	loginAgent = "/run/latchkey/login.sock" // where the PAM module looks by default
	adminAgent = "/run/latchkey/admin.sock"
)

// A Machine is a computer that people sign in to: a cell with users, a PAM
// configuration of its own and a cable to the server.
type Machine struct {
	*Cell
	*cable
	Process        // the agent, once it runs
	State   string // the agent's state folder

	lab   *Lab
	dir   string
	users []string
	clock *Clock
	boots int
}

// Machine adds a machine with the given users to the lab. With a clock it runs
// the testclock agent.
func (l *Lab) Machine(name string, clock *Clock, users ...string) *Machine {
	l.tb.Helper()
	m := &Machine{lab: l, dir: filepath.Join(l.dir, name), users: users, clock: clock}
	mounts := m.accounts()
	maps.Copy(mounts, m.doors())
	mounts["/etc/hosts"] = m.file("hosts", fmt.Sprintf("127.0.0.1 localhost %s\n10.77.%d.1 %s\n", name, l.machines+1, ServerName), 0o644)
	m.Cell = l.newCell(name, mounts)
	m.cable = l.join(m.Cell)
	m.State = filepath.Join(m.dir, "state")
	must(l.tb, os.Mkdir(m.State, 0o700))
	must(l.tb, os.Chown(m.State, agentUID, agentUID))
	return m
}

func (m *Machine) file(name, content string, mode os.FileMode) string {
	m.lab.tb.Helper()
	return m.lab.file(filepath.Join(filepath.Base(m.dir), name), content, mode)
}

// accounts returns the machine's user database as mounts: that of this system
// with the test users and the agent's user added.
func (m *Machine) accounts() map[string]string {
	tb := m.lab.tb
	var passwd, shadows, group strings.Builder
	for _, f := range []struct {
		into *strings.Builder
		path string
	}{{&passwd, "/etc/passwd"}, {&shadows, "/etc/shadow"}, {&group, "/etc/group"}} {
		data, err := os.ReadFile(f.path)
		must(tb, err)
		for line := range strings.Lines(string(data)) {
			// Whoever is called ana here is not the ana of the test.
			if name, _, _ := strings.Cut(line, ":"); name != agentUser && !slices.Contains(m.users, name) {
				f.into.WriteString(line)
			}
		}
	}
	add := func(name string, uid int, hash, home, shell string) {
		fmt.Fprintf(&passwd, "%s:x:%d:%d::%s:%s\n", name, uid, uid, home, shell)
		fmt.Fprintf(&shadows, "%s:%s:19000:0:99999:7:::\n", name, hash)
		fmt.Fprintf(&group, "%s:x:%d:\n", name, uid)
	}
	add(agentUser, agentUID, "!", "/nonexistent", "/usr/sbin/nologin")
	for i, name := range m.users {
		home := filepath.Join(m.dir, "home", name)
		must(tb, os.MkdirAll(home, 0o755))
		must(tb, os.Chown(home, firstUID+i, firstUID+i))
		add(name, firstUID+i, shadow, home, "/bin/sh")
	}
	return map[string]string{
		"/etc/passwd": m.file("etc/passwd", passwd.String(), 0o644),
		"/etc/shadow": m.file("etc/shadow", shadows.String(), 0o600),
		"/etc/group":  m.file("etc/group", group.String(), 0o644),
	}
}

// doors returns copies of the PAM and sudo configuration as mounts. All test
// users may use sudo with their password.
func (m *Machine) doors() map[string]string {
	tb := m.lab.tb
	pam := filepath.Join(m.dir, "etc/pam.d")
	must(tb, os.MkdirAll(filepath.Dir(pam), 0o755))
	if out, err := exec.Command("cp", "-a", "/etc/pam.d", pam).CombinedOutput(); err != nil {
		tb.Fatalf("lab: copying /etc/pam.d: %v: %s", err, out)
	}
	var rules strings.Builder
	for _, name := range m.users {
		fmt.Fprintf(&rules, "%s ALL=(ALL:ALL) ALL\n", name)
	}
	m.file("etc/sudoers.d/latchkey-lab", rules.String(), 0o440)
	return map[string]string{"/etc/pam.d": pam, "/etc/sudoers.d": filepath.Join(m.dir, "etc/sudoers.d")}
}

// UID returns a test user's uid on this machine.
func (m *Machine) UID(user string) int {
	for i, name := range m.users {
		if name == user {
			return firstUID + i
		}
	}
	m.lab.tb.Fatalf("lab: no user %s on %s", user, m.name)
	return 0
}

// PAM replaces the configuration of a PAM service of this machine.
func (m *Machine) PAM(service, lines string) {
	m.lab.tb.Helper()
	must(m.lab.tb, os.WriteFile(filepath.Join(m.dir, "etc/pam.d", service), []byte(lines), 0o644))
}

// ProtectAll puts the module, with its arguments, behind the password of every
// service that includes Debian's common files: sshd, login, su, sudo.
func (m *Machine) ProtectAll(args ...string) {
	m.lab.tb.Helper()
	module := strings.Join(append([]string{programs(m.lab.tb).Module}, args...), " ")
	for _, kind := range []string{"auth", "account"} {
		data, err := os.ReadFile(filepath.Join("/etc/pam.d/common-" + kind))
		must(m.lab.tb, err)
		m.PAM("common-"+kind, string(data)+"\n"+kind+" required "+module+"\n")
	}
}

// As runs a command on a terminal as one of the test users.
func (m *Machine) As(user string, args ...string) *Terminal {
	m.lab.tb.Helper()
	id := fmt.Sprint(m.UID(user))
	return m.OnTerminal(append([]string{"setpriv", "--reuid", id, "--regid", id, "--init-groups", "--"}, args...)...)
}
