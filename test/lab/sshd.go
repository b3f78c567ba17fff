//go:build linux

package lab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

const sshPort = 22 // the cell's own

// ServeSSH starts the real sshd on the machine. Methods is the value of
// AuthenticationMethods: "keyboard-interactive", "publickey,keyboard-interactive".
func (m *Machine) ServeSSH(methods string) {
	m.lab.tb.Helper()
	host := m.key("ssh/host", 0)
	public, err := os.ReadFile(host + ".pub")
	must(m.lab.tb, err)
	// Known beforehand, so that the client has nothing of its own to say.
	m.file("ssh/known", m.name+" "+string(public), 0o644)
	config := m.file("ssh/config", fmt.Sprintf(`Port %d
ListenAddress 127.0.0.1
HostKey %s
PidFile none
UsePAM yes
PasswordAuthentication no
KbdInteractiveAuthentication yes
AuthenticationMethods %s
PermitRootLogin no
UseDNS no
PrintLastLog no
PrintMotd no
StrictModes no
LogLevel VERBOSE
`, sshPort, host, methods), 0o600)
	log := filepath.Join(m.dir, "ssh/log")
	sshd := m.Cell.start(log, m.Command("/usr/sbin/sshd", "-D", "-e", "-f", config))
	sshd.ready("the port", func() bool { return m.listens(sshPort) })
}

// key makes an SSH key pair for a uid and returns the private key's path.
func (m *Machine) key(name string, uid int) string {
	m.lab.tb.Helper()
	path := filepath.Join(m.dir, name)
	must(m.lab.tb, os.MkdirAll(filepath.Dir(path), 0o755))
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path).CombinedOutput(); err != nil {
		m.lab.tb.Fatalf("lab: ssh-keygen: %v: %s", err, out)
	}
	must(m.lab.tb, os.Chown(path, uid, uid))
	return path
}

// Authorize gives a user an SSH key that the machine accepts; SSH uses it from
// then on.
func (m *Machine) Authorize(user string) {
	m.lab.tb.Helper()
	key := m.key(filepath.Join("ssh", user), 0)
	public, err := os.ReadFile(key + ".pub")
	must(m.lab.tb, err)
	folder := filepath.Join(m.dir, "home", user, ".ssh")
	must(m.lab.tb, os.Mkdir(folder, 0o755))
	must(m.lab.tb, os.WriteFile(filepath.Join(folder, "authorized_keys"), public, 0o644))
}

// SSH signs in with the real client from a terminal and runs a command there.
func (m *Machine) SSH(user string, command ...string) *Terminal {
	m.lab.tb.Helper()
	return m.OnTerminal(append(m.ssh(user), command...)...)
}

func (m *Machine) ssh(user string) []string {
	args := []string{
		"ssh", "-F", "/dev/null", "-p", fmt.Sprint(sshPort), "-o", "StrictHostKeyChecking=yes",
		"-o", "UserKnownHostsFile=" + filepath.Join(m.dir, "ssh/known"), "-o", "NumberOfPasswordPrompts=1", "-o", "IdentitiesOnly=yes",
	}
	if key := filepath.Join(m.dir, "ssh", user); exists(key) {
		args = append(args, "-i", key)
	}
	return append(args, user+"@"+m.name)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
