//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"latchkey"
	"latchkey/internal/agent"
	"latchkey/internal/agent/ipc"
	"latchkey/internal/agent/stack"
	"latchkey/internal/logon"
)

// A copy of a machine's files, an agent's socket and the real program.
type copied struct {
	t                   *testing.T
	root, state, socket string
	bin                 string
}

func copyMachine(t *testing.T) *copied {
	t.Helper()
	c := &copied{t: t, root: t.TempDir(), state: t.TempDir(), bin: filepath.Join(t.TempDir(), "latchkey-agent")}
	c.must(os.CopyFS(c.root, os.DirFS("../../internal/agent/stack/testdata/debian12")))
	c.put("/etc/ssh/sshd_config", "Include /etc/ssh/sshd_config.d/*.conf\nUsePAM yes\n")
	c.put("/etc/ssh/sshd_config.d/README", "")
	build := exec.Command("go", "build", "-o", c.bin, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	dir, err := os.MkdirTemp("", "lk") // short: a socket path has 107 bytes
	c.must(err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	c.must(os.Chmod(dir, 0o755))
	c.socket = filepath.Join(dir, "login.sock")
	return c
}

func (c *copied) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c *copied) put(name, text string) {
	c.t.Helper()
	file := filepath.Join(c.root, name)
	c.must(os.MkdirAll(filepath.Dir(file), 0o755))
	c.must(os.WriteFile(file, []byte(text), 0o644))
}

// module compiles something with the entry points of a PAM module.
func (c *copied) module(source string) {
	c.t.Helper()
	dir := filepath.Join(c.root, "usr/lib/x86_64-linux-gnu/security")
	c.must(os.MkdirAll(dir, 0o755))
	src := filepath.Join(c.t.TempDir(), "m.c")
	c.must(os.WriteFile(src, []byte(source), 0o644))
	if out, err := exec.Command("cc", "-shared", "-fPIC", "-o", filepath.Join(dir, stack.Module), src).CombinedOutput(); err != nil {
		c.t.Fatalf("%v: %s", err, out)
	}
}

const wholeModule = "int pam_sm_authenticate(void){return 7;} int pam_sm_setcred(void){return 7;} int pam_sm_acct_mgmt(void){return 7;}"

// desk is an agent that knows nobody.
type desk struct{}

func (desk) Logon(context.Context, logon.Screen, latchkey.Logon) latchkey.Verdict {
	return latchkey.Verdict{}
}

func (desk) Account(context.Context, latchkey.Logon, string) latchkey.Verdict {
	return latchkey.DenyVerdict(latchkey.UnknownIdentity)
}
func (desk) Refused(latchkey.Logon) {}

func (c *copied) agent() {
	c.t.Helper()
	l, err := ipc.Listen(c.socket, ipc.LoginMode)
	c.must(err)
	ctx, cancel := context.WithCancel(context.Background())
	s := &ipc.Server{Handler: desk{}, Log: slog.New(slog.DiscardHandler), Now: time.Now}
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	c.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			c.t.Error(err)
		}
	})
}

// run runs the program and returns its exit code.
func (c *copied) run(args ...string) (code int, out, errs string) {
	c.t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(c.bin, append(args, "--root", c.root, "--state", c.state, "--socket", c.socket)...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		c.t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()
}

func (c *copied) want(code int, says string, args ...string) string {
	c.t.Helper()
	got, out, errs := c.run(args...)
	if got != code || !strings.Contains(out+errs, says) {
		c.t.Fatalf("%q ended with %d, want %d and %q\nstdout: %s\nstderr: %s", args, got, code, says, out, errs)
	}
	return out
}

func (c *copied) file(name string) string {
	c.t.Helper()
	data, err := os.ReadFile(filepath.Join(c.root, name))
	c.must(err)
	return string(data)
}

func TestPAMIsEnabledAndDisabled(t *testing.T) {
	t.Parallel()
	c := copyMachine(t)
	before := c.file("etc/pam.d/login")

	c.want(exitUsage, "which services?", "pam", "enable")
	c.want(exitNotFound, "no such PAM service", "pam", "enable", "nothere")
	c.want(exitOK, "+auth\trequired\tpam_latchkey.so", "pam", "enable", "login")
	c.want(exitFailed, "nothing was changed: PAM module", "pam", "enable", "login", "--apply")
	c.module("int nothing(void){return 0;}")
	c.want(exitFailed, "is no PAM module", "pam", "enable", "login", "--apply")
	c.module(wholeModule)
	c.want(exitFailed, "nothing was changed: agent answers front-ends", "pam", "enable", "login", "--apply")
	if c.file("etc/pam.d/login") != before {
		t.Fatal("a refused change was made")
	}
	c.agent()
	c.want(exitOK, "this was a dry run", "pam", "enable", "login", "sshd")
	if c.file("etc/pam.d/login") != before {
		t.Fatal("a dry run changed something")
	}
	c.want(exitOK, "latchkey-agent pam confirm", "pam", "enable", "login", "sshd", "--apply")
	c.want(exitFailed, "an earlier change waits", "pam", "enable", "sudo", "--apply")
	c.want(exitFailed, "changes back at", "doctor")
	c.want(exitOK, "confirmed", "pam", "enable", "--confirm")
	c.want(exitNotFound, "nothing waits", "pam", "confirm")
	c.want(exitOK, "-> auth required pam_latchkey.so  (/etc/pam.d/login:11)", "pam", "show", "login")
	if !strings.Contains(c.file("etc/ssh/sshd_config.d/00-latchkey.conf"), "AuthenticationMethods publickey,keyboard-interactive:pam keyboard-interactive:pam") {
		t.Error("sshd has no drop-in")
	}
	c.want(exitOK, "confirmed", "pam", "disable", "login", "sshd", "--apply")
	if c.file("etc/pam.d/login") != before {
		t.Errorf("after disable: %q", c.file("etc/pam.d/login"))
	}
}

func TestAnUnconfirmedChangeIsTakenBackByAProcessOfItsOwn(t *testing.T) {
	t.Parallel()
	c := copyMachine(t)
	c.module(wholeModule)
	c.agent()
	before := c.file("etc/pam.d/login")
	c.want(exitOK, "written", "pam", "enable", "login", "--apply")

	// Five minutes pass: the due time in the file does.
	pending := filepath.Join(c.state, "pam-pending.json")
	data, err := os.ReadFile(pending)
	c.must(err)
	var p stack.Pending
	c.must(json.Unmarshal(data, &p))
	p.Due, p.DueBoot = p.Made, 0
	data, err = json.Marshal(p)
	c.must(err)
	c.must(os.WriteFile(pending+".new", data, 0o600))
	c.must(os.Rename(pending+".new", pending))

	deadline := time.After(time.Minute)
	for {
		if _, err := os.Stat(pending); errors.Is(err, os.ErrNotExist) {
			break
		}
		select {
		case <-deadline:
			t.Fatal("nobody took the change back")
		case <-time.After(50 * time.Millisecond):
		}
	}
	if got := c.file("etc/pam.d/login"); got != before {
		t.Errorf("login is %q", got)
	}
	c.want(exitNotFound, "nothing waits", "pam", "revert")
}

func TestDoctorListsDoorsAndHealth(t *testing.T) {
	t.Parallel()
	c := copyMachine(t)
	c.module(wholeModule)
	c.agent()
	out := c.want(exitFailed, "", "doctor", "--json", "--admin-socket", filepath.Join(c.root, "no.sock"))
	var d diagnosis
	c.must(json.Unmarshal([]byte(out), &d))
	state := map[string]stack.State{}
	for _, door := range d.Doors {
		if door.Kind == "pam" {
			state[door.Name] = door.State
		}
	}
	if d.Healthy || state["login"] != stack.Open || state["cron"] != stack.Outside {
		t.Errorf("healthy %v, doors %v", d.Healthy, state)
	}
	checks := map[string]string{}
	for _, ch := range d.Checks {
		checks[ch.Name] = ch.State
		if ch.State == failed && ch.Next == "" {
			t.Errorf("%s failed, and nothing to do about it", ch.Name)
		}
	}
	for name, want := range map[string]string{
		"login socket": fine, "admin socket": failed, "agent answers front-ends": fine, "PAM module": fine, "agent answers root": failed,
		"change of login stacks": fine,
	} {
		if checks[name] != want {
			t.Errorf("%s is %q, want %q", name, checks[name], want)
		}
	}
	c.want(exitFailed, "open       pam: login\n  why:  the auth phase does not call pam_latchkey.so\n  next: latchkey-agent pam enable login", "doctor")
}

func TestWhatTheAgentSaysIsJudged(t *testing.T) {
	t.Parallel()
	well := agent.Status{Machine: "m", Online: true, Version: agent.Version, State: latchkey.Active}
	for _, c := range statusChecks(well) {
		if c.State != fine {
			t.Errorf("%+v", c)
		}
	}
	for name, change := range map[string]func(*agent.Status){
		"version":   func(s *agent.Status) { s.Version = "0.0.1" },
		"server":    func(s *agent.Status) { s.Online = false },
		"last sync": func(s *agent.Status) { s.Problem = "no route" },
		"machine":   func(s *agent.Status) { s.State = latchkey.Removed },
		"clock":     func(s *agent.Status) { s.ClockBehind = true },
		"records":   func(s *agent.Status) { s.Corrupt = true },
		"events":    func(s *agent.Status) { s.LostEvents = 1 },
		"alarms":    func(s *agent.Status) { s.Alarms = map[string]int{"pin": 1} },
	} {
		ill := well
		change(&ill)
		for _, c := range statusChecks(ill) {
			if (c.State == failed) != (c.Name == name) {
				t.Errorf("%s: %+v", name, c)
			}
		}
	}
}
