//go:build linux

package lab

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const (
	// ServerName is the server's name on every machine of a lab.
	ServerName = "latchkey.test"
	adminPort  = 8443
	agentPort  = 8444
)

// A Server is `latchkey serve` in a cell of its own, and its administrator's
// shell.
type Server struct {
	Process        // the running server
	Data    string // its folder

	lab     *Lab
	cell    *Cell
	number  int // of the server in its deployment
	program string
	clock   *Clock
	args    []string
	token   string
	ca      string
}

// Serve starts a server on a fresh data folder and makes its first
// administrator. With a clock it runs the testclock program. Further arguments
// go to `latchkey serve`.
func (l *Lab) Serve(clock *Clock, args ...string) *Server {
	l.tb.Helper()
	s := l.newServer(0, clock, args)
	s.Start()
	s.firstAdmin()
	return s
}

func (l *Lab) newServer(number int, clock *Clock, args []string) *Server {
	built := programs(l.tb)
	s := &Server{Data: filepath.Join(l.dir, "server"), lab: l, cell: l.server, number: number, program: built.Server, clock: clock, args: args}
	if number > 0 {
		s.Data += strconv.Itoa(number)
	}
	if clock != nil {
		s.program = built.ClockServer
	}
	return s
}

// firstAdmin makes the deployment's first administrator.
func (s *Server) firstAdmin(args ...string) {
	s.lab.tb.Helper()
	var created struct{ Token, CA string }
	s.decode(s.cell.finish(s.command(append([]string{"admin", "create", "root", "--data", s.Data, "--json"}, args...)...), ""), &created)
	if created.Token == "" || created.CA == "" {
		s.lab.tb.Fatalf("lab: admin create --json without token or ca")
	}
	s.token, s.ca = created.Token, created.CA
}

// Start runs the server, again after Stop or Kill, and waits until it listens.
func (s *Server) Start() {
	s.lab.tb.Helper()
	admins, agents := adminPort+10*s.number, agentPort+10*s.number
	args := []string{
		"serve", "--data", s.Data,
		"--listen", fmt.Sprintf("0.0.0.0:%d", admins), "--public-url", s.url(),
		"--agent-listen", fmt.Sprintf("0.0.0.0:%d", agents),
	}
	if !slices.Contains(s.args, "--agent-url") {
		args = append(args, "--agent-url", agentURL(s.number))
	}
	s.Process = *s.cell.start(s.Data+".log", s.command(append(args, s.args...)...))
	s.ready("the ports", func() bool { return s.cell.listens(admins) && s.cell.listens(agents) })
}

func (s *Server) url() string { return fmt.Sprintf("https://%s:%d", ServerName, adminPort+10*s.number) }

func agentURL(number int) string {
	return fmt.Sprintf("https://%s:%d", ServerName, agentPort+10*number)
}

func (s *Server) command(args ...string) *exec.Cmd {
	cmd := s.cell.Command(append([]string{s.program}, args...)...)
	cmd.Env = append(cmd.Env, s.clock.env()...)
	return cmd
}

func (c *Clock) env() []string {
	if c == nil {
		return nil
	}
	return []string{"LATCHKEY_TEST_CLOCK=" + c.path}
}

// Try runs an admin verb as the first administrator, whatever comes of it.
func (s *Server) Try(args ...string) Result {
	s.lab.tb.Helper()
	cmd := s.command(args...)
	cmd.Env = append(cmd.Env, s.environ()...)
	return s.cell.finish(cmd, "")
}

// Shell runs a shell's line on the server's machine, as the first administrator.
func (s *Server) Shell(line string) Result {
	s.lab.tb.Helper()
	cmd := s.cell.Command("sh", "-c", line)
	cmd.Env = append(cmd.Env, s.environ()...)
	return s.cell.finish(cmd, "")
}

// environ makes a shell the first administrator's.
func (s *Server) environ() []string {
	return []string{"LATCHKEY_SERVER=" + s.url(), "LATCHKEY_TOKEN=" + s.token, "LATCHKEY_CA=" + s.ca}
}

// Do runs an admin verb that has to succeed and returns what it printed.
func (s *Server) Do(args ...string) string {
	s.lab.tb.Helper()
	r := s.Try(args...)
	if r.Code != 0 {
		s.lab.tb.Fatalf("lab: latchkey %s: %v", strings.Join(args, " "), r)
	}
	return r.Stdout
}

// JSON runs an admin verb with --json and reads its answer into v.
func (s *Server) JSON(v any, args ...string) {
	s.lab.tb.Helper()
	s.decode(s.Try(append(args, "--json")...), v)
}

func (s *Server) decode(r Result, v any) {
	s.lab.tb.Helper()
	decode(s.lab.tb, r, v)
}

func decode(tb TB, r Result, v any) {
	tb.Helper()
	if r.Code != 0 {
		tb.Fatalf("lab: %v", r)
	}
	if err := json.Unmarshal([]byte(r.Stdout), v); err != nil {
		tb.Fatalf("lab: %v in %q", err, r.Stdout)
	}
}

// Policy sets policies from a document.
func (s *Server) Policy(document string) {
	s.lab.tb.Helper()
	s.Do("policy", "set", "-f", s.lab.file("policy.json", document, 0o600))
}

// Totp gives a user a TOTP authenticator and returns the user's app.
func (s *Server) Totp(user string) *Authenticator {
	s.lab.tb.Helper()
	var made struct{ URI string }
	s.JSON(&made, "authenticator", "add", "totp", user)
	return Scan(s.lab.tb, made.URI)
}

// Hotp gives a user an HOTP authenticator and returns the user's token.
func (s *Server) Hotp(user string) *Authenticator {
	s.lab.tb.Helper()
	var made struct{ URI string }
	s.JSON(&made, "authenticator", "add", "hotp", user)
	return Scan(s.lab.tb, made.URI)
}

// MachineToken returns a token with which one machine can enrol.
func (s *Server) MachineToken() string {
	s.lab.tb.Helper()
	var made struct{ Token string }
	s.JSON(&made, "machine", "token", "create")
	return made.Token
}

// Token is the first administrator's.
func (s *Server) Token() string { return s.token }
