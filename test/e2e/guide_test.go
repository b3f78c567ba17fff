//go:build linux

package e2e_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"latchkey/test/lab"
)

const guide = "../../docs/admin/README.md"

// TestTheAdminGuideSpeaksTheTruth runs every command of the guide, in the
// guide's order, on a real server and a real machine. A command that is renamed
// makes the guide a lie.
func TestTheAdminGuideSpeaksTheTruth(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	g := &reader{t: t, lab: l, server: l.Serve(nil), laptop: l.Machine("laptop", nil, "ana", "ben"), aside: t.TempDir(), devices: map[string]*lab.Authenticator{}}
	text, err := os.ReadFile(guide)
	if err != nil {
		t.Fatal(err)
	}
	g.travellers(string(text))
	commands := 0
	for _, block := range regexp.MustCompile("(?ms)^```(\\w*)\n(.*?)^```").FindAllStringSubmatch(string(text), -1) {
		for line := range strings.Lines(block[2]) {
			if line = strings.TrimSpace(line); block[1] == "" && line != "" && !strings.HasPrefix(line, "#") {
				g.run(line)
				commands++
			}
		}
	}
	if commands < 30 {
		t.Errorf("only %d commands were found in the guide", commands)
	}
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
		args[i] = strings.NewReplacer("HOST", "laptop", "DIR", g.server.Data, "FILE", g.aside+"/file", "OTHER", g.aside+"/other", "travellers.json", g.policy, `"`, "").Replace(a)
	}
	switch {
	case args[0] == "latchkey-agent" && args[1] == "enroll":
		g.settle()
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

// settle brings the machine up and signs both people in once.
func (g *reader) settle() {
	g.t.Helper()
	g.laptop.Enroll(g.server.MachineToken())
	g.laptop.RunAgent()
	verdict(g.t, g.laptop.Login("ana", g.devices["ana"].Code(time.Now())), "allow verified_online")
	verdict(g.t, g.laptop.Login("ben", g.devices["ben"].Press()), "allow verified_online")
	g.laptop.Do("sync")
}
