//go:build linux

package e2e_test

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"latchkey/test/lab"
)

func page(t *testing.T, name string) string {
	t.Helper()
	return read(t, filepath.Join(tree, name))
}

// TestTheAdminGuideSpeaksTheTruth runs every command of the guide and of the
// pages on operations and settings, in their order, on a real server and a real
// machine. A command that is renamed makes the guide a lie.
func TestTheAdminGuideSpeaksTheTruth(t *testing.T) {
	t.Parallel()
	g := newReader(t, nil, "ana", "ben")
	guide := page(t, "docs/admin/README.md")
	document := regexp.MustCompile("(?s)```json\n(.*?)```").FindStringSubmatch(guide)
	if document == nil {
		t.Fatal("the guide has no policy document")
	}
	policy := g.lab.File("travellers.json", document[1])
	enrolled := false
	g.before = func(line string) {
		g.who = "ben"
		switch {
		case strings.HasPrefix(line, "latchkey admin create root"):
			g.words["DIR"] = g.fresh // of the server that the page has just started
		case strings.HasPrefix(line, "latchkey-agent enroll"):
			g.words["STATE"], enrolled = g.laptop.State, true
		case enrolled:
			g.laptop.RunAgent()
			g.signIn()
			enrolled = false
		default:
			g.words["DIR"] = g.server.Data
		}
	}
	if n := g.follow(strings.ReplaceAll(guide, "travellers.json", policy)); n < 50 {
		t.Errorf("only %d commands were found in the guide", n)
	}
	for name, least := range map[string]int{"docs/admin/operations.md": 20, "docs/admin/settings.md": 2} {
		g.anew()
		g.lab.File("settings.json", "{}")
		g.before = func(line string) {
			if strings.Contains(line, "--config FILE") {
				g.words["FILE"] = g.lab.File("settings.json", `{"log_level": "warn"}`)
				return
			}
			g.words["FILE"] = filepath.Join(g.t.TempDir(), "file")
			if strings.HasPrefix(line, "latchkey restore") {
				g.server.Do("backup", "--data", g.server.Data, "--out", g.words["FILE"])
			}
		}
		if n := g.follow(page(t, name)); n < least {
			t.Errorf("only %d commands were found on %s", n, name)
		}
	}
}

// waiting is the name of a machine that waits for approval.
func (g *reader) waiting() string {
	g.t.Helper()
	var made struct{ Token string }
	g.server.JSON(&made, "machine", "token", "create", "--approve")
	state := filepath.Join(g.t.TempDir(), "state")
	name := "lab-" + filepath.Base(filepath.Dir(state))
	g.laptop.Must(g.lab.Programs().Agent, "enroll", made.Token, "--state", state, "--name", name)
	return name
}

// TestTheFiveMinutesOfTheReadmeWork types what a newcomer is told to type, word
// by word, on a whole machine of its own.
func TestTheFiveMinutesOfTheReadmeWork(t *testing.T) {
	t.Parallel()
	_, text, found := strings.Cut(page(t, "README.md"), "\n## Five minutes by hand\n")
	if !found {
		t.Fatal("the README has no five minutes")
	}
	block := blocks.FindStringSubmatch(text)
	l := lab.New(t)
	p := l.Programs()
	s := l.System("desk", map[string]string{"/src/bin/latchkey": p.Server, "/src/bin/latchkey-agent": p.Agent, "/src/bin/pam_latchkey.so": p.Module})
	n := newcomer{t: t, machine: s}
	for line := range strings.Lines(block[2]) {
		n.types(strings.TrimSpace(line))
	}
	if len(n.typed) < 12 {
		t.Errorf("only %d lines were found in the README", len(n.typed))
	}
}

// A newcomer types at a shell that stays the same.
type newcomer struct {
	t       *testing.T
	machine *lab.System
	typed   []string // and what came back
	profile string   // what he has exported
	token   string
	app     *lab.Authenticator
}

func (n *newcomer) types(line string) {
	n.t.Helper()
	line, _, _ = strings.Cut(line, " #")
	line = strings.TrimSpace(line)
	if line == "" || line == "make build" { // which is how the programs came here
		return
	}
	n.typed = append(n.typed, line)
	line = strings.ReplaceAll(line, "TOKEN --state", n.token+" --state")
	if rest, runs := strings.CutSuffix(line, "&"); runs {
		line = "setsid " + strings.TrimSpace(rest) + " >/run/said 2>&1 & for i in $(seq 200); do grep -q serving /run/said && exit 0; [ -S /run/latchkey/login.sock ] && exit 0; sleep 0.1; done; cat /run/said; exit 1"
	}
	stdin := ""
	if strings.HasSuffix(line, "login ana") {
		line, stdin = line+" --script", n.app.Code(time.Now())+"\n"
	}
	r := n.machine.Run(stdin, "bash", "-c", "cd /src\n"+n.profile+line)
	if r.Code != 0 && !strings.HasSuffix(line, "doctor") { // the doors of this machine are open
		n.t.Errorf("%s: %v", line, r)
	}
	n.keep(line, r)
}

// keep remembers what he would paste, scan or carry over.
func (n *newcomer) keep(line string, r lab.Result) {
	n.t.Helper()
	if strings.HasPrefix(line, "export ") {
		n.profile += line + "\n"
	}
	for out := range strings.Lines(r.Stdout + r.Stderr) {
		if strings.HasPrefix(strings.TrimSpace(out), "export ") {
			n.profile += out
		}
	}
	if uri := regexp.MustCompile(`otpauth://\S+`).FindString(r.Stdout); uri != "" {
		n.app = lab.Scan(n.t, uri)
	}
	if strings.Contains(line, "token create") {
		n.token = strings.TrimSpace(r.Stdout)
	}
}

// TestThePageOnTheAPISpeaksTheTruth runs its commands, curl's among them.
func TestThePageOnTheAPISpeaksTheTruth(t *testing.T) {
	t.Parallel()
	g := newReader(t, nil, "ana")
	if n := g.follow(page(t, "docs/api/README.md")); n < 5 {
		t.Errorf("only %d commands were found", n)
	}
}

func TestThePagesOnFormatsAndWeaknessesSpeakTheTruth(t *testing.T) {
	t.Parallel()
	g := newReader(t, nil, "ana")
	g.before = func(line string) {
		if strings.HasPrefix(line, "latchkey restore") {
			g.words["DIR"] = t.TempDir()
			key := []byte(read(t, g.server.Data+"/master.key"))
			if err := errors.Join(os.Chmod(g.words["DIR"], 0o700), os.WriteFile(g.words["DIR"]+"/master.key", key, 0o600)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, test := range pages {
		if test == "TestThePagesOnFormatsAndWeaknessesSpeakTheTruth" {
			g.anew()
			g.follow(page(t, name))
		}
	}
}

// TestThePageOnKeysSpeaksTheTruth changes both keys of a deployment as the page
// says, while a machine goes on.
func TestThePageOnKeysSpeaksTheTruth(t *testing.T) {
	t.Parallel()
	g := newReader(t, testclock, "ana")
	g.server.Do("user", "add", "ana")
	g.devices["ana"] = g.server.Hotp("ana")
	g.laptop.Enroll(g.server.MachineToken())
	g.laptop.RunAgent()
	g.signIn()
	g.before = func(line string) {
		switch {
		case strings.HasPrefix(line, "latchkey key switch --data"):
			g.server.Stop() // or half a minute, in which it notices by itself
			g.server.Start()
			g.clock.Pass(11 * time.Minute)
			g.laptop.Do("sync")
		case strings.HasPrefix(line, "latchkey key retire ID"):
			g.server.Stop()
			g.server.Start()
			g.laptop.Do("sync")
			verdict(t, g.laptop.Login("ana", g.code("ana")), "allow verified_online")
			g.clock.Pass(31 * 24 * time.Hour)
			g.laptop.Do("sync")
		case strings.HasPrefix(line, "latchkey key rewrap --data"):
			g.server.Stop()
		}
	}
	if n := g.follow(page(t, "docs/admin/keys.md")); n < 7 {
		t.Errorf("only %d commands were found", n)
	}
	g.server.Start()
	verdict(t, g.laptop.Login("ana", g.code("ana")), "allow verified_online")
}
