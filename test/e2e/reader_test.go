//go:build linux

package e2e_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"latchkey/test/lab"
)

// A reader does what a page says, line by line: every command is run, with
// things of this world in the place of the page's words.
type reader struct {
	t       *testing.T
	lab     *lab.Lab
	clock   *lab.Clock // nil: the real one
	server  *lab.Server
	laptop  *lab.Machine
	devices map[string]*lab.Authenticator
	who     string            // the page's NAME
	words   map[string]string // the page's words, and what they stand for
	fresh   string            // the data directory of the last server that the page started
	before  func(line string) // what the page takes for granted before a line
}

func newReader(t *testing.T, clock func(*lab.Lab) *lab.Clock, users ...string) *reader {
	t.Helper()
	l := lab.New(t)
	g := &reader{t: t, lab: l, who: users[0], devices: map[string]*lab.Authenticator{}, before: func(string) {}}
	if clock != nil {
		g.clock = clock(l)
	}
	g.server, g.laptop = l.Serve(g.clock), l.Machine("laptop", g.clock, users...)
	g.anew()
	return g
}

func testclock(l *lab.Lab) *lab.Clock { return l.Clock("all") }

// anew gives the next page folders of its own.
func (g *reader) anew() {
	aside := g.t.TempDir()
	g.words = map[string]string{
		"HOST": "laptop", "MACHINE": "laptop", "$(hostname)": "laptop", "SERVICE": "su", "DIR": g.server.Data, "STATE": aside + "/state",
		"REPORT": aside + "/report", "FILE": aside + "/file", "OTHER": aside + "/other", "HOST:PORT": "127.0.0.1:0",
	}
}

// follow runs all commands of a page in their order, and says how many they were.
func (g *reader) follow(text string) int {
	g.t.Helper()
	lines := typed(text)
	for _, line := range lines {
		g.before(line)
		g.run(line)
	}
	return len(lines)
}

// word splits a line as a shell does, as far as the pages need it.
var (
	word    = regexp.MustCompile(`"[^"]*"|\S+`)
	capital = regexp.MustCompile(`[A-Z][A-Z0-9:]*|\$\(hostname\)`)
)

func (g *reader) run(line string) {
	g.t.Helper()
	if strings.HasPrefix(line, "curl ") {
		if r := g.server.Shell(line + " --fail --silent --show-error"); r.Code != 0 {
			g.t.Errorf("%s: %v", line, r)
		}
		return
	}
	args := word.FindAllString(line, -1)
	for i, a := range args {
		args[i] = capital.ReplaceAllStringFunc(strings.Trim(a, `"`), func(w string) string { return g.meaning(args, w) })
	}
	var r lab.Result
	switch verb := args[1]; {
	case verb == "serve" && len(args) > 2:
		g.serve(line, args)
		return
	case args[0] == "latchkey":
		r = g.server.Try(args[1:]...)
		g.scan(args, r.Stdout)
	case verb == "enroll":
		r = g.laptop.Run("", append([]string{g.lab.Programs().Agent}, args[1:]...)...)
	default:
		r = g.laptop.Try(args[1:]...)
	}
	// A name in a sentence (`latchkey key retire`) is no whole command. doctor says 1
	// on a machine with doors that are open, as this one's are.
	mention := r.Code == 2 && regexp.MustCompile(`^[a-z -]+$`).MatchString(line)
	if r.Code != 0 && !mention && !(r.Code == 1 && args[0] == "latchkey-agent" && args[1] == "doctor") {
		g.t.Errorf("%s: %v", line, r)
	}
}

// meaning is what a word of a page stands for.
func (g *reader) meaning(args []string, w string) string {
	g.t.Helper()
	switch {
	case w == "HOST" && args[1] == "machine" && args[2] == "approve":
		return g.waiting()
	case g.words[w] != "":
		return g.words[w]
	case w == "NAME":
		return g.who
	case w == "TOKEN":
		return g.server.MachineToken()
	case w == "ID":
		return g.id(strings.Join(args, " "))
	case w == "CODE1", w == "CODE2":
		return g.devices[g.who].Press()
	}
	return w // a heading's capitals, or an option's own
}

// id finds what a command names by its id.
func (g *reader) id(line string) string {
	g.t.Helper()
	var rows []struct{ ID, Kind, State string }
	list, want := []string{"authenticator", "list", g.who}, "hotp"
	switch {
	case strings.Contains(line, "token revoke"):
		list, want = []string{"machine", "token", "list"}, ""
	case strings.Contains(line, "key retire"):
		list, want = []string{"key", "list", "--data", g.server.Data}, "believed"
	}
	g.server.JSON(&rows, list...)
	for _, r := range rows {
		if want == "" || r.Kind == want || r.State == want {
			return r.ID
		}
	}
	g.t.Fatalf("%s: nothing of the kind %q", line, want)
	return ""
}

// scan keeps what a new authenticator shows.
func (g *reader) scan(args []string, stdout string) {
	g.t.Helper()
	if uri := regexp.MustCompile(`otpauth://\S+`).FindString(stdout); uri != "" {
		g.devices[args[len(args)-1]] = lab.Scan(g.t, uri)
	}
}

// serve starts a server as the page says, where nothing else listens, and stops
// it once it serves. It leaves what it made.
func (g *reader) serve(line string, args []string) {
	g.t.Helper()
	if i := len(args) - 1; args[i-1] == "--data" || g.fresh == "" {
		g.fresh = filepath.Join(g.t.TempDir(), "data")
	}
	for i, a := range args {
		if a == "--data" {
			args[i+1] = g.fresh
		}
	}
	if !strings.Contains(line, "--data") { // a flag is the page's subject
		args = append(args, "--data", g.fresh)
	}
	serveOnce(g.t, g.laptop, append([]string{g.lab.Programs().Server}, args[1:]...))
}

// serveOnce runs a server, where nothing else listens, until it serves.
func serveOnce(t *testing.T, at *lab.Machine, args []string) {
	t.Helper()
	cmd := at.Command(args...)
	said, err := os.Create(filepath.Join(t.TempDir(), "said"))
	if err != nil {
		t.Fatal(err)
	}
	defer said.Close()
	cmd.Stderr = said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	eventuallyIn(t, "it serves", func() bool {
		return strings.Contains(read(t, said.Name()), "CA SHA-256") || len(done) > 0
	})
	_ = cmd.Process.Signal(syscall.SIGTERM)
	if err := <-done; err != nil {
		t.Errorf("%q: %v\n%s", args, err, read(t, said.Name()))
	}
}

// signIn lets everybody who has something to show sign in once.
func (g *reader) signIn() {
	g.t.Helper()
	for user := range g.devices {
		verdict(g.t, g.laptop.Login(user, g.code(user)), "allow verified_online")
	}
	g.laptop.Do("sync")
}

// code is a code that was never used.
func (g *reader) code(user string) string {
	g.t.Helper()
	d := g.devices[user]
	if d.Period == 0 {
		return d.Press()
	}
	if g.clock == nil {
		return d.Code(time.Now())
	}
	g.clock.NextStep(d.Period)
	return d.Code(g.clock.Now())
}
