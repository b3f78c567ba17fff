//go:build linux

package e2e_test

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"latchkey/test/lab"
)

// desk is a machine with both programs as packages install them, and its agent
// running.
func desk(t *testing.T, l *lab.Lab, server *lab.Server) *lab.System {
	t.Helper()
	at := maps.Clone(files(t, l))
	unit, err := filepath.Abs("../../packaging/systemd/latchkey-server.service")
	if err != nil {
		t.Fatal(err)
	}
	at["/usr/bin/latchkey"], at["/usr/lib/systemd/system/latchkey-server.service"] = l.Programs().Server, unit
	s := l.System("desk", at)
	s.Must("install", "-d", "/etc/latchkey")
	_, text, found := strings.Cut(page(t, "docs/admin/operations.md"), "\n## Installing\n")
	text, _, _ = strings.Cut(text, "\n## ")
	lines := 0
	for _, block := range blocks.FindAllStringSubmatch(text, -1) {
		for line := range strings.Lines(block[2]) {
			lines++
			install(t, s, strings.TrimSpace(line), server)
		}
	}
	if !found || lines < 12 {
		t.Fatalf("the page has %d lines on installing", lines)
	}
	return s
}

// install does one line of the page. What `make install` does is here already:
// TestAnInstallationHoldsWhatItsUnitsName.
func install(t *testing.T, s *lab.System, line string, server *lab.Server) {
	t.Helper()
	if line == "make install" {
		return
	}
	line = strings.Replace(line, "TOKEN", server.MachineToken(), 1)
	if r := s.Run("", "sh", "-c", line); r.Code != 0 && !strings.HasSuffix(line, "doctor") { // its doors are open yet
		t.Fatalf("%s: %v", line, r)
	}
}

// eventually waits until a shell's condition holds on the machine.
func eventually(t *testing.T, s *lab.System, what, condition string) {
	t.Helper()
	if r := s.Run("", "sh", "-c", "for i in $(seq 400); do { "+condition+"; } && exit 0; sleep 0.1; done; exit 1"); r.Code != 0 {
		t.Fatalf("%s never came\n%s", what, s.Run("", "journalctl", "--no-pager", "-u", "latchkey-agent", "-u", "latchkey-server").Stdout)
	}
}

// refuses wants a reload to fail while the service goes on.
func refuses(t *testing.T, s *lab.System, unit, file string) {
	t.Helper()
	if r := s.Run("", "systemctl", "reload", unit); r.Code == 0 {
		t.Errorf("systemctl reload %s takes a bad %s", unit, file)
	}
	s.Must("systemctl", "is-active", unit)
	eventually(t, s, "the reason in the journal of "+unit, "journalctl -u "+unit+" | grep -qE '(error|problem): "+file+"'")
}

func TestServicesUnderSystemdReloadAndRestartInGoodOrder(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	server := l.Serve(nil)
	server.Do("user", "add", "ana")
	token := server.Hotp("ana") // its codes need no clock
	s := desk(t, l, server)

	s.Must("sh", "-c", `echo '{"services": {"remote": ["vpn"]}}' >/etc/latchkey/agent.json`)
	s.Must("systemctl", "reload", "latchkey-agent")
	eventually(t, s, "the new settings", "journalctl -u latchkey-agent | grep -q 'settings were read again'")
	s.Must("sh", "-c", `echo '{"services": {"remote": ["sshd"]}}' >/etc/latchkey/agent.json`)
	refuses(t, s, "latchkey-agent", "/etc/latchkey/agent.json")
	s.Must("systemctl", "kill", "--signal=HUP", "latchkey-agent") // somebody does not go through systemd
	eventually(t, s, "the reason in the status", "systemctl show -p StatusText latchkey-agent | grep -q 'settings refused'")
	eventually(t, s, "the reason in the agent's status", `latchkey-agent status | grep -q '"sshd" is known already'`)
	s.Must("rm", "/etc/latchkey/agent.json")
	s.Must("systemctl", "reload", "latchkey-agent")
	eventually(t, s, "the end of it", "! latchkey-agent status | grep -q 'known already'")

	// Somebody is at the prompt while the agent is replaced.
	s.Must("sh", "-c", "echo auth required pam_latchkey.so >>/etc/pam.d/common-auth")
	s.Login("ana").Expect(`One-time code: `)
	before := s.Must("systemctl", "show", "-p", "MainPID", "latchkey-agent")
	s.Must("systemctl", "restart", "--no-block", "latchkey-agent")
	eventually(t, s, "the end of the old agent", "systemctl is-active latchkey-agent | grep -q deactivating")
	s.Console.Type(token.Press())
	s.Console.Expect(`ana@desk.*\$ `)
	eventually(t, s, "the new agent", "systemctl is-active -q latchkey-agent && [ \"$(systemctl show -p MainPID latchkey-agent)\" != '"+strings.TrimSpace(before)+"' ]")
	s.Must("latchkey-agent", "sync")

	s.Must("systemctl", "start", "latchkey-server") // returns when it says that it is ready
	s.Must("systemctl", "reload", "latchkey-server")
	s.Must("sh", "-c", `echo '{"listen": "0.0.0.0:443"}' >/etc/latchkey/server.json`)
	refuses(t, s, "latchkey-server", "/etc/latchkey/server.json")
	s.Must("rm", "/etc/latchkey/server.json")
	s.Must("systemctl", "stop", "latchkey-server")
	if got := s.Must("systemctl", "show", "-p", "Result", "-p", "NRestarts", "latchkey-server", "latchkey-agent"); strings.Count(got, "Result=success") != 2 || strings.Count(got, "NRestarts=0") != 2 {
		t.Errorf("after all this: %s", got)
	}

	// A change of the login stacks that nobody confirmed does not survive.
	s.Must("latchkey-agent", "pam", "enable", "su", "--apply")
	s.Must("grep", "-q", "pam_latchkey", "/etc/pam.d/su")
	s.PowerOff()
	s.Boot()
	eventually(t, s, "the old login stack", "! grep -q pam_latchkey /etc/pam.d/su")
}

// A unit that gains a right which it did not have shows here. The pages say
// what systemd-analyze made of the units.
func TestTheUnitsAreHardened(t *testing.T) {
	t.Parallel()
	page := read(t, "../../docs/admin/operations.md")
	units, err := filepath.Glob("../../packaging/systemd/*.service")
	if err != nil || len(units) == 0 {
		t.Fatalf("no units: %v", err)
	}
	for _, path := range units {
		name := filepath.Base(path)
		out, err := exec.Command("systemd-analyze", "security", "--offline=true", "--no-pager", path).Output()
		found := regexp.MustCompile(`Overall exposure level for \S+: ([0-9.]+)`).FindSubmatch(out)
		if err != nil || found == nil {
			t.Fatalf("systemd-analyze security %s: %v\n%s", name, err, out)
		}
		said := regexp.MustCompile("(?m)^\\| `" + regexp.QuoteMeta(name) + "` \\| ([0-9.]+) \\|").FindStringSubmatch(page)
		if said == nil {
			t.Errorf("docs/admin/operations.md has no score of %s; it is %s", name, found[1])
			continue
		}
		measured, limit := number(t, string(found[1])), number(t, said[1])
		if measured > limit || limit > 2.5 {
			t.Errorf("%s is exposed at %v, docs/admin/operations.md says %v, and 2.5 is the most", name, measured, limit)
		}
	}
}

func number(t *testing.T, text string) float64 {
	t.Helper()
	n, err := strconv.ParseFloat(text, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// What a package holds is enough for its units: each program that they start is
// there, and each manual page that they name.
func TestAnInstallationHoldsWhatItsUnitsName(t *testing.T) {
	t.Parallel()
	p, share, dir := lab.New(t).Programs(), t.TempDir(), t.TempDir()
	for _, program := range []string{p.Server, p.Agent} {
		if out, err := exec.Command(program, "manual", share).CombinedOutput(); err != nil {
			t.Fatalf("%s manual: %v\n%s", program, err, out)
		}
	}
	install := exec.Command("make", "-C", "../..", "install", "BIN="+filepath.Dir(p.Server), "SHARE="+share, "DESTDIR="+dir)
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("make install: %v\n%s", err, out)
	}
	units, err := filepath.Glob(dir + "/usr/lib/systemd/system/latchkey*")
	if err != nil || len(units) < 5 {
		t.Fatalf("units: %q, %v", units, err)
	}
	named := regexp.MustCompile(`(?m)^Exec\w+=(/usr/\S*latchkey\S*)|^Documentation=man:(\S+)\((\d)\)$`)
	for _, u := range units {
		for _, m := range named.FindAllStringSubmatch(read(t, u), -1) {
			path := m[1]
			if path == "" {
				path = "/usr/share/man/man" + m[3] + "/" + m[2] + "." + m[3]
			}
			if _, err := os.Stat(dir + path); err != nil {
				t.Errorf("%s names %s: %v", filepath.Base(u), path, err)
			}
		}
	}
	for _, path := range []string{
		"bash-completion/completions/latchkey", "zsh/site-functions/_latchkey-agent", "fish/vendor_completions.d/latchkey.fish",
	} {
		if _, err := os.Stat(filepath.Join(dir, "usr/share", path)); err != nil {
			t.Error(err)
		}
	}
}
