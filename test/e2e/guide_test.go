//go:build linux

package e2e_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"latchkey/test/lab"
)

// The pages whose commands are run.
const (
	guide      = "../../docs/admin/README.md"
	operations = "../../docs/admin/operations.md"
	readme     = "../../README.md"
)

// TestTheAdminGuideSpeaksTheTruth runs every command of the guide and of the
// page on operations, in their order, on a real server and a real machine. A
// command that is renamed makes the guide a lie.
func TestTheAdminGuideSpeaksTheTruth(t *testing.T) {
	t.Parallel()
	g := newReader(t, "ana", "ben")
	text := read(t, guide)
	g.travellers(text)
	if n := g.follow(text); n < 30 {
		t.Errorf("only %d commands were found in the guide", n)
	}
	g.aside = t.TempDir()
	if n := g.follow(read(t, operations)); n < 10 {
		t.Errorf("only %d commands were found on the page on operations", n)
	}
}

// TestTheFiveMinutesOfTheReadmeWork runs what a newcomer is told to type.
func TestTheFiveMinutesOfTheReadmeWork(t *testing.T) {
	t.Parallel()
	g := newReader(t, "ana")
	_, text, found := strings.Cut(read(t, readme), "\n## Five minutes by hand\n")
	if !found {
		t.Fatal("the README has no five minutes")
	}
	text, _, _ = strings.Cut(text, "\n## ")
	if n := g.follow(text); n < 10 {
		t.Errorf("only %d commands were found in the README", n)
	}
}

func newReader(t *testing.T, users ...string) *reader {
	t.Helper()
	l := lab.New(t)
	return &reader{t: t, lab: l, server: l.Serve(nil), laptop: l.Machine("laptop", nil, users...), aside: t.TempDir(), devices: map[string]*lab.Authenticator{}}
}

var blocks = regexp.MustCompile("(?ms)^```(\\w*)\n(.*?)^```")

// follow runs the blocks of a page that are in no language, and says how many
// commands of ours they had.
func (g *reader) follow(text string) (commands int) {
	g.t.Helper()
	for _, block := range blocks.FindAllStringSubmatch(text, -1) {
		for line := range strings.Lines(block[2]) {
			line, _, _ = strings.Cut(strings.TrimSpace(line), "#")
			line = strings.TrimPrefix(strings.TrimRight(line, " &"), "bin/")
			if block[1] == "" && strings.HasPrefix(line, "latchkey") {
				g.run(line)
				commands++
			}
		}
	}
	return commands
}

// A reader does what the guide says.
type reader struct {
	t       *testing.T
	lab     *lab.Lab
	server  *lab.Server
	laptop  *lab.Machine
	devices map[string]*lab.Authenticator
	policy  string // path of travellers.json
	aside   string // where backups go
}

var document = regexp.MustCompile("(?s)```json\n(.*?)```")

func (g *reader) travellers(text string) {
	found := document.FindStringSubmatch(text)
	if found == nil {
		g.t.Fatal("the guide has no policy document")
	}
	g.policy = g.lab.File("travellers.json", found[1])
}

// words splits a line as a shell does, as far as the guide needs it.
var words = regexp.MustCompile(`"[^"]*"|\S+`)

func (g *reader) run(line string) {
	g.t.Helper()
	args := words.FindAllString(line, -1)
	for i, a := range args {
		args[i] = strings.NewReplacer("HOST", "laptop", "$(hostname)", "laptop", "DIR", g.server.Data, "REPORT", g.aside+"/report", "FILE", g.aside+"/file", "OTHER", g.aside+"/other", "travellers.json", g.policy, `"`, "").Replace(a)
	}
	switch {
	case args[0] == "latchkey-agent" && args[1] == "enroll":
		g.settle()
	case args[0] == "latchkey-agent" && args[1] == "run":
		// settle has started it.
	case args[0] == "latchkey-agent" && args[1] == "login":
		verdict(g.t, g.laptop.Login(args[2], g.devices[args[2]].Code(time.Now())), "allow verified_online")
	case args[0] == "latchkey-agent":
		// doctor says 1 on a machine whose doors are open: this one's are.
		if r := g.laptop.Try(args[1:]...); r.Code != 0 && (args[1] != "doctor" || r.Code != 1) {
			g.t.Errorf("%s: %v", line, r)
		}
	case args[1] == "serve" || args[1] == "admin":
		// The lab has run these two, in these words.
	default:
		g.administer(line, args[1:])
	}
}

func (g *reader) administer(line string, args []string) {
	g.t.Helper()
	r := g.server.Try(args...)
	if r.Code != 0 {
		g.t.Errorf("%s: %v", line, r)
	}
	if uri := regexp.MustCompile(`otpauth://\S+`).FindString(r.Stdout); uri != "" {
		g.devices[args[len(args)-1]] = lab.Scan(g.t, uri)
	}
}

// settle brings the machine up and signs both people in once, where there are
// two.
func (g *reader) settle() {
	g.t.Helper()
	g.laptop.Enroll(g.server.MachineToken())
	g.laptop.RunAgent()
	if g.devices["ben"] == nil {
		return // the page signs in itself
	}
	verdict(g.t, g.laptop.Login("ana", g.devices["ana"].Code(time.Now())), "allow verified_online")
	verdict(g.t, g.laptop.Login("ben", g.devices["ben"].Press()), "allow verified_online")
	g.laptop.Do("sync")
}
