//go:build linux

package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"latchkey/test/lab"
)

// program builds the demonstration as make does.
func program(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "demo")
	if out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return path
}

// leftovers lists what a run of the demonstration has not taken down.
func leftovers(t *testing.T, pid int) []string {
	t.Helper()
	mark := regexp.MustCompile(`latchkey-lab-` + regexp.QuoteMeta(strconv.Itoa(pid)) + `-`)
	var found []string
	for _, dir := range []string{"/tmp", "/run/netns"} {
		list, err := os.ReadDir(dir)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		for _, e := range list {
			if mark.MatchString(e.Name()) {
				found = append(found, filepath.Join(dir, e.Name()))
			}
		}
	}
	return found
}

func TestTheStoryIsToldToItsEnd(t *testing.T) {
	t.Parallel()
	cmd := exec.Command(program(t), "story")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	// In this order: what makes the story one.
	rest := out.String()
	for _, part := range []string{
		"One-time code: ", "=> let in",
		"(2 offline logins left, until ", "=> let in", "(1 offline login left, until ", "=> let in",
		"Offline logins are used up.", "=> not let in",
		"One-time code: ", "=> let in",
		"reported:",
		"One hardware token", "ben-is-in", "ben-is-in", "offline login left", "ben-is-in",
		"already used", "=> not let in", "ben-is-in", "laptop until",
		"second server takes over", "ben-is-in", "is killed", "ben-is-in", "already used", "=> not let in", "verified",
		"Nothing of it stays",
	} {
		at := strings.Index(rest, part)
		if at < 0 {
			t.Fatalf("the story lacks %q at its place:\n%s", part, &out)
		}
		rest = rest[at+len(part):]
	}
	for _, reported := range []string{"verified_offline", "offline_limit_reached"} {
		if !strings.Contains(out.String(), reported) {
			t.Errorf("the audit trail does not tell of %s:\n%s", reported, &out)
		}
	}
	if left := leftovers(t, cmd.Process.Pid); len(left) != 0 {
		t.Errorf("it left %v", left)
	}
}

func TestTheWorldToExploreStandsUntilCtrlC(t *testing.T) {
	t.Parallel()
	cmd := exec.Command(program(t), "explore")
	screen := lab.NewTerminal(t, cmd)
	screen.Expect(`laptop# `)
	screen.Type("latchkey user list | grep -c ana")
	screen.Expect(`\n1\r\n`)
	screen.Type(`code | grep -cx '[0-9]\{6\}'`)
	screen.Expect(`\n1\r\n`)
	screen.Type("cut; latchkey-agent status | cat; restore")
	screen.Expect(`online`)
	screen.Type("login-by-ssh id -un")
	screen.Expect(`assword: `)
	screen.Type(lab.Password)
	screen.Expect(`One-time code: `)
	screen.Type("000000")
	screen.Expect(`denied`)
	screen.Expect(`laptop# `)
	screen.Type("sh -c 'kill -INT $$'") // as Ctrl-C ends a command, and not the shell
	screen.Expect(`laptop# `)
	screen.Type("echo still $((1+1)) here")
	screen.Expect(`still 2 here`)
	screen.Expect(`laptop# `)
	// At the prompt: the end. Between two reads of the terminal bash misses an
	// interrupt; a person presses again.
	for range 20 {
		screen.Press(lab.CtrlC)
		if screen.Ended(time.Second) {
			break
		}
	}
	if code := screen.Wait(); code != 0 {
		t.Errorf("it ended with %d\n%s", code, screen.Shown())
	}
	if left := leftovers(t, cmd.Process.Pid); len(left) != 0 {
		t.Errorf("it left %v", left)
	}
}

func TestWithoutATerminalASignalEndsIt(t *testing.T) {
	t.Parallel()
	cmd := exec.Command(program(t), "explore")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	buf, seen := make([]byte, 4096), ""
	for !strings.Contains(seen, "takes everything down") {
		n, err := out.Read(buf)
		seen += string(buf[:n])
		if err != nil {
			t.Fatalf("%v after:\n%s", err, seen)
		}
	}
	cmd.Process.Signal(syscall.SIGINT)
	cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 130 {
		t.Errorf("exit code %d, want 130", code)
	}
	if left := leftovers(t, cmd.Process.Pid); len(left) != 0 {
		t.Errorf("it left %v", left)
	}
}
