// Package pam holds the module against real PAM applications: a small one
// that shows every message, pamtester, sshd, sudo, su and login.
package pam

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// built is what the tests need compiled, once.
type built struct {
	module, driver   string // as released
	checked, asanDrv string // under the sanitizers
}

var (
	buildOnce sync.Once
	buildDir  string
	buildErr  error
)

func TestMain(m *testing.M) {
	flag.Parse()
	// The tests wait for the module's own limits and for other processes, not for a processor.
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	code := m.Run()
	if buildDir != "" {
		os.RemoveAll(buildDir)
	}
	os.Exit(code)
}

// artifacts builds the module and the driver. The module trusts sockets of
// root only, so that none of this can run as anybody else.
func artifacts(t *testing.T) built {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("the module trusts only root's sockets: run as root")
	}
	buildOnce.Do(func() { buildErr = build() })
	if buildErr != nil {
		t.Fatal(buildErr)
	}
	return built{
		filepath.Join(buildDir, "pam_latchkey.so"), filepath.Join(buildDir, "driver"),
		filepath.Join(buildDir, "pam_latchkey_asan.so"), filepath.Join(buildDir, "driver_asan"),
	}
}

func build() error {
	var err error
	if buildDir, err = os.MkdirTemp("", "lkpam"); err != nil {
		return err
	}
	if err := os.Chmod(buildDir, 0o755); err != nil {
		return err
	}
	if err := readSources(); err != nil {
		return err
	}
	asan := "-fsanitize=address,undefined -fno-sanitize-recover=all"
	for _, c := range [][]string{
		{"make", "-s", "-C", "../../native", "MODULE=" + buildDir + "/pam_latchkey.so"},
		{"make", "-s", "-C", "../../native", "MODULE=" + buildDir + "/pam_latchkey_asan.so", "HARDEN=-O1 -g -fPIC " + asan, "LDFLAGS=-Wl,-z,undefs"},
		{"gcc", "-Wall", "-Wextra", "-Werror", "-O1", "-rdynamic", "-o", buildDir + "/driver", "testdata/driver.c", "-lpam"},
		{"gcc", "-Wall", "-Wextra", "-Werror", "-O1", "-g", "-rdynamic", "-fsanitize=address,undefined", "-o", buildDir + "/driver_asan", "testdata/driver.c", "-lpam"},
	} {
		if out, err := exec.Command(c[0], c[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w\n%s", strings.Join(c, " "), err, out)
		}
	}
	return nil
}

// readSources tells the test cache what the result depends on: it does not
// see what make reads.
func readSources() error {
	for _, pattern := range []string{"../../native/Makefile", "../../native/frame/*", "../../native/pam/*", "testdata/*"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			return fmt.Errorf("no %s (%v)", pattern, err)
		}
		for _, f := range files {
			if _, err := os.ReadFile(f); err != nil {
				return err
			}
		}
	}
	return nil
}

// stack writes a service directory whose only service has these lines.
// MODULE and SOCKET are replaced.
func stack(t *testing.T, service, module, socket string, lines ...string) string {
	t.Helper()
	dir := t.TempDir()
	text := strings.NewReplacer("MODULE", module, "SOCKET", socket).Replace(strings.Join(lines, "\n") + "\n")
	if err := os.WriteFile(filepath.Join(dir, service), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// drive runs the sanitized module under the driver and returns its output,
// without the log lines, and the log lines.
func drive(t *testing.T, a *agent, service, user, arguments string, ops ...string) (screen, log string) {
	t.Helper()
	b := artifacts(t)
	line := "MODULE socket=SOCKET " + arguments
	dir := stack(t, service, b.checked, a.Socket, "auth required "+line, "account required "+line)
	return split(driver(t, b.asanDrv, append([]string{dir, service, user}, ops...)...))
}

func driver(t *testing.T, path string, args ...string) string {
	t.Helper()
	out, err := runDriver(path, args...)
	if err != nil {
		t.Errorf("driver: %v\n%s", err, out)
	}
	return out
}

func runDriver(path string, args ...string) (string, error) {
	cmd := exec.Command(path, args...)
	cmd.Env = []string{"LANG=de_DE.UTF-8", "PATH=/usr/bin:/bin", "ASAN_OPTIONS=detect_leaks=1"}
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// impostor starts a listener of nobody's on path and returns how to end it.
func impostor(t *testing.T, b built, path string) func() {
	t.Helper()
	cmd := exec.Command(b.driver, "impostor", path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, _ := bufio.NewReader(out).ReadString('\n')
	if line != "ready\n" {
		t.Errorf("impostor said %q", line)
	}
	return func() { cmd.Process.Kill(); cmd.Wait() }
}

func split(out string) (screen, log string) {
	var s, l []string
	for _, line := range strings.Split(out, "\n") {
		if strings.HasPrefix(line, "LOG") {
			l = append(l, line)
		} else {
			s = append(s, line)
		}
	}
	return strings.Join(s, "\n"), strings.Join(l, "\n")
}
