//go:build linux

package e2e_test

import (
	"path/filepath"
	"strings"
	"testing"

	"latchkey/test/lab"
)

// files is what a package puts on a machine, as path there → path here.
func files(t *testing.T, l *lab.Lab) map[string]string {
	t.Helper()
	p := l.Programs()
	at := map[string]string{
		"/usr/sbin/latchkey-agent":                           p.Agent,
		"/usr/lib/x86_64-linux-gnu/security/pam_latchkey.so": p.Module,
	}
	for pattern, folder := range map[string]string{
		"../../packaging/systemd/latchkey-agent*": "/usr/lib/systemd/system",
		"../../packaging/sysusers/*.conf":         "/usr/lib/sysusers.d",
	} {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) == 0 {
			t.Fatalf("nothing matches %s (%v)", pattern, err)
		}
		for _, f := range found {
			abs, err := filepath.Abs(f)
			if err != nil {
				t.Fatal(err)
			}
			at[filepath.Join(folder, filepath.Base(f))] = abs
		}
	}
	return at
}

func TestAMachineWithSystemdIsProtectedFromItsFirstPrompt(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	server := l.Serve(nil)
	server.Do("user", "add", "ana")
	token := server.Hotp("ana") // its codes need no clock
	s := l.System("desk", files(t, l))

	s.Must("systemd-sysusers")
	s.Must("install", "-d", "-o", "latchkey-agent", "-g", "latchkey-agent", "-m", "700", "/var/lib/latchkey-agent")
	s.Must("latchkey-agent", "enroll", server.MachineToken(), "--state", "/var/lib/latchkey-agent")
	s.Must("systemctl", "daemon-reload")
	s.Must("systemctl", "enable", "--now", "latchkey-agent.socket", "latchkey-agent-admin.socket", "latchkey-agent.service")
	s.Must("sh", "-c", "echo auth required pam_latchkey.so >>/etc/pam.d/common-auth")

	s.Login("ana").Expect(`One-time code: `)
	s.Console.Type(token.Press())
	s.Console.Expect(`ana@desk.*\$ `)
	s.Must("latchkey-agent", "sync")

	// A laptop that is switched on where there is no network.
	s.PowerOff()
	s.Cut(lab.Unplugged)
	s.Boot()
	s.Login("ana").Expect(`One-time code \(30 offline logins left with this token`)
	used := token.Press()
	s.Console.Type(used)
	s.Console.Expect(`ana@desk.*\$ `)

	s.PowerCut()
	s.Boot()
	s.Login("ana").Expect(`One-time code \(29 offline logins left with this token`)
	s.Console.Type(used)
	s.Console.Expect(`already used`) // B04

	if failed := strings.TrimSpace(s.Must("systemctl", "--failed", "--no-legend", "--plain")); failed != "" {
		t.Errorf("units failed:\n%s\n%s", failed, s.Run("", "journalctl", "-u", "latchkey-agent", "--no-pager").Stdout)
	}
}
