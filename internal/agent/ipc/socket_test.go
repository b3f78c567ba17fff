//go:build linux

package ipc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"latchkey"
	"latchkey/internal/frame"
	"latchkey/internal/logon"
)

// TestMain lets the test program play a front-end of another user: it connects
// to the socket in its environment and prints what it is told.
func TestMain(m *testing.M) {
	if path := os.Getenv("LATCHKEY_TEST_FRONT"); path != "" {
		fmt.Print(front(path, os.Getenv("LATCHKEY_TEST_SERVICE"), os.Getenv("LATCHKEY_TEST_USER")))
		os.Exit(0)
	}
	if path := os.Getenv("LATCHKEY_TEST_FLOOD"); path != "" {
		flood(path)
		os.Exit(0)
	}
	if os.Getenv("LATCHKEY_TEST_ACTIVATED") != "" {
		activated()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// quiet is a Front of a person who types one code.
type quiet struct{}

func (quiet) Ask(context.Context, frame.Ask) ([]byte, error) { return []byte("424242"), nil }
func (quiet) Say(frame.Say)                                  {}

func front(path, service, user string) string {
	conn, err := Dial(context.Background(), path)
	if err != nil {
		return "error " + err.Error()
	}
	v, err := Converse(context.Background(), conn, hello(), begin(service, user), quiet{})
	if err != nil {
		return "error " + err.Error()
	}
	return v.Outcome.String() + " " + v.Reason
}

// flood opens 10,000 connections one after another, keeps those that it is left
// with, and says "full" when it is through.
func flood(path string) {
	var kept []net.Conn
	for range 10_000 {
		conn, err := net.Dial("unix", path)
		if err != nil {
			continue
		}
		_ = conn.SetReadDeadline(time.Now().Add(time.Millisecond))
		if _, err := conn.Read(make([]byte, 1)); errors.Is(err, io.EOF) {
			_ = conn.Close()
			continue
		}
		kept = append(kept, conn)
	}
	fmt.Println("full", len(kept))
	_, _ = io.Copy(io.Discard, os.Stdin)
}

func needsRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to become another user")
	}
}

// as is a copy of the test program that runs as another user. The program is
// copied to where that user may read it.
func as(t *testing.T, uid uint32, env ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(publicSelf(t))
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}, Pdeathsig: syscall.SIGKILL}
	cmd.Dir = "/"
	return cmd
}

func publicSelf(t *testing.T) string {
	t.Helper()
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(publicDir(t), "front")
	if err := os.WriteFile(path, self, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// publicDir is a folder of root's that others may enter, unlike t.TempDir.
func publicDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "latchkey-ipc-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// serving runs s on a socket of its own.
func serving(t *testing.T, s *Server) string {
	t.Helper()
	path := filepath.Join(publicDir(t), "login.sock")
	l, err := Listen(path, LoginMode)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return path
}

func TestTheKernelSaysWhoCalls(t *testing.T) {
	t.Parallel()
	needsRoot(t)
	s, _ := newServer(t, &desk{logon: oneCode})
	path := serving(t, s)
	for name, tc := range map[string]struct {
		uid           uint32
		service, user string
		want          string
	}{
		"root speaks for anyone":                  {0, "login", "ana", "allow verified_online"},
		"M16 a locker speaks for its user":        {1001, "i3lock", "ana", "allow verified_online"},
		"M10 another user is refused":             {1002, "i3lock", "ana", "deny unknown_identity"},
		"M10 a user's own sudo is root's to ask":  {1001, "sudo", "ana", "deny unknown_identity"},
		"M10 a user's own login is root's to ask": {1001, "login", "ana", "deny unknown_identity"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := as(t, tc.uid, "LATCHKEY_TEST_FRONT="+path, "LATCHKEY_TEST_SERVICE="+tc.service, "LATCHKEY_TEST_USER="+tc.user)
			out, err := cmd.CombinedOutput()
			if err != nil || string(out) != tc.want {
				t.Errorf("%q, %v; want %q", out, err, tc.want)
			}
		})
	}
}

func TestAFloodDoesNotStarveRoot(t *testing.T) {
	t.Parallel()
	needsRoot(t)
	s, _ := newServer(t, &desk{logon: oneCode})
	path := serving(t, s)
	cmd := as(t, 1002, "LATCHKEY_TEST_FLOOD="+path)
	hold, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = hold.Close(); _ = cmd.Wait() })
	for i := range 20 { // while it floods
		if got := front(path, "login", "ana"); got != "allow verified_online" {
			t.Fatalf("M11 login %d during the flood: %s", i, got)
		}
	}
	var kept int
	if _, err := fmt.Fscanf(out, "full %d\n", &kept); err != nil {
		t.Fatal(err)
	}
	// Connections that said nothing lose their places after the opening time, so
	// that a slow machine sees some of them twice.
	if got := front(path, "login", "ana"); got != "allow verified_online" {
		t.Errorf("M11 login after the flood: %s (%d connections kept)", got, kept)
	}
	s.gate.mu.Lock()
	defer s.gate.mu.Unlock()
	if held := s.gate.by[1002]; held > 8 {
		t.Errorf("M11 the flood holds %d places, more than 8", held)
	}
}

func TestTheGateKeepsPlaces(t *testing.T) {
	t.Parallel()
	var g gate
	l := Limits{Root: 2, Each: 2, Others: 3}
	enter := func(uid uint32, want bool) {
		t.Helper()
		if got := g.enter(uid, l); got != want {
			t.Fatalf("uid %d: %v, want %v", uid, got, want)
		}
	}
	enter(1, true)
	enter(1, true)
	enter(1, false) // one user's own limit
	enter(2, true)
	enter(3, false) // all users' limit
	enter(0, true)  // root has places of its own
	enter(0, true)
	enter(0, false)
	g.leave(1)
	enter(3, true)
	g.leave(0)
	enter(0, true)
	for _, uid := range []uint32{1, 2, 3, 0, 0} {
		g.leave(uid)
	}
	if len(g.by) != 0 || g.others != 0 {
		t.Errorf("%d users and %d others left in an empty gate", len(g.by), g.others)
	}
}

func TestASocketIsMadeWhereOnlyRootMayWrite(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		prepare func(dir string) error
		refused string
	}{
		"a directory of root's":          {func(string) error { return nil }, ""},
		"a directory that is not there":  {os.Remove, ""},
		"a directory others may write":   {func(d string) error { return os.Chmod(d, 0o777) }, "nobody else may write"},
		"a directory a group may write":  {func(d string) error { return os.Chmod(d, 0o775) }, "nobody else may write"},
		"somebody else's directory":      {func(d string) error { return os.Chown(d, 1001, 1001) }, "directory of root's"},
		"F06 a file in the place":        {func(d string) error { return os.WriteFile(d+"/s", nil, 0o600) }, "is no socket"},
		"F06 a directory in the place":   {func(d string) error { return os.Mkdir(d+"/s", 0o700) }, "is no socket"},
		"F06 a symlink in the place":     {func(d string) error { return os.Symlink("/dev/null", d+"/s") }, "is no socket"},
		"F06 a FIFO in the place":        {func(d string) error { return syscall.Mkfifo(d+"/s", 0o600) }, "is no socket"},
		"the socket of a dead agent":     {deadSocket, ""},
		"a directory behind a symlink":   {func(d string) error { return swapForLink(d) }, "directory of root's"},
		"the socket of an agent at work": {nil, ErrInUse.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			needsRoot(t)
			dir := filepath.Join(t.TempDir(), "run")
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if tc.prepare == nil {
				l, err := Listen(dir+"/s", LoginMode)
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
			} else if err := tc.prepare(dir); err != nil {
				t.Fatal(err)
			}
			l, err := Listen(dir+"/s", LoginMode)
			if err == nil {
				defer l.Close()
			}
			if (err == nil) != (tc.refused == "") || err != nil && !strings.Contains(err.Error(), tc.refused) {
				t.Fatalf("%v, want %q", err, tc.refused)
			}
			if err != nil {
				return
			}
			if info, err := os.Lstat(dir + "/s"); err != nil || info.Mode() != os.ModeSocket|0o666 {
				t.Errorf("%v, %v", info.Mode(), err)
			}
		})
	}
}

func deadSocket(dir string) error {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: dir + "/s", Net: "unix"})
	if err != nil {
		return err
	}
	l.SetUnlinkOnClose(false)
	return l.Close()
}

func swapForLink(dir string) error {
	if err := os.Rename(dir, dir+".real"); err != nil {
		return err
	}
	return os.Symlink(dir+".real", dir)
}

func TestAFrontEndTrustsRootAlone(t *testing.T) {
	t.Parallel()
	needsRoot(t)
	dir := publicDir(t)
	l, err := Listen(dir+"/s", LoginMode)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := Dial(t.Context(), dir+"/s"); !errors.Is(err, ErrUntrusted) {
		t.Errorf("a directory that all may write: %v", err)
	}
}

// activated is the agent's side of socket activation: it takes the sockets,
// becomes another user and serves one login on each.
func activated() {
	_ = os.Setenv("LISTEN_PID", strconv.Itoa(os.Getpid())) // systemd sets it after the fork
	found, err := Activated()
	if err != nil {
		fmt.Println("error", err)
		return
	}
	if again, err := Activated(); again != nil || err != nil {
		fmt.Println("taken twice")
	}
	fmt.Println(len(found), found["login"].Addr(), found["admin"].Addr())
}

func TestSystemdHandsOverItsSockets(t *testing.T) {
	t.Parallel()
	dir := publicDir(t)
	var files []*os.File
	for _, name := range []string{"login", "admin"} {
		l, err := Listen(filepath.Join(dir, name), LoginMode)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		f, err := l.File()
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		files = append(files, f)
	}
	for names, want := range map[string]string{
		"login:admin": "2 " + dir + "/login " + dir + "/admin\n",
		"login":       "error taking sockets from systemd: \"2\" sockets with the names \"login\"\n",
	} {
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), "LATCHKEY_TEST_ACTIVATED=1", "LISTEN_FDS=2", "LISTEN_FDNAMES="+names)
		cmd.ExtraFiles = files
		out, err := cmd.CombinedOutput()
		if err != nil || string(out) != want {
			t.Errorf("%s: %q, %v; want %q", names, out, err, want)
		}
	}
}

// stubborn is a Front that answers whatever it is asked.
type stubborn struct{ asked int }

func (s *stubborn) Ask(context.Context, frame.Ask) ([]byte, error) {
	s.asked++
	return []byte("1"), nil
}
func (*stubborn) Say(frame.Say) {}

func TestAFrontEndAnswersOnlySoOften(t *testing.T) {
	t.Parallel()
	for kind, want := range map[latchkey.PromptKind]int{
		latchkey.AskSecret: maxGuesses, latchkey.AskText: maxGuesses,
		latchkey.AskConfirm: maxAnswers, latchkey.AskChoice: maxAnswers,
	} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			s, _ := newServer(t, &desk{logon: func(ctx context.Context, s logon.Screen, _ latchkey.Logon) latchkey.Verdict {
				for {
					p := latchkey.Prompt{Kind: kind, Label: "Again"}
					if kind == latchkey.AskChoice {
						p.Choices = []latchkey.Choice{{ID: "totp", Label: "App"}}
					}
					if _, err := s.Ask(ctx, p); err != nil {
						return latchkey.DenyVerdict(latchkey.Cancelled)
					}
				}
			}})
			line, over := talkTo(t.Context(), s, Caller{})
			var f stubborn
			_, err := Converse(t.Context(), line, hello(), begin("login", "ana"), &f)
			if !errors.Is(err, ErrCancelled) || f.asked != want {
				t.Errorf("asked %d times, %v; want %d", f.asked, err, want)
			}
			<-over
		})
	}
}

func TestAnAgentThatIsSilentLetsNobodyIn(t *testing.T) {
	t.Parallel()
	for name, say := range map[string]func(net.Conn){
		"closes at once":               func(c net.Conn) { _ = c.Close() },
		"sends a frame of a front-end": func(c net.Conn) { _ = frame.Send(c, hello()) },
		"sends garbage":                func(c net.Conn) { _, _ = c.Write([]byte("HTTP/1.1 200 OK\r\n")) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			near, far := net.Pipe()
			go func() {
				_, _ = frame.Receive(far)
				_, _ = frame.Receive(far)
				say(far)
			}()
			if v, err := Converse(t.Context(), near, hello(), begin("login", "ana"), quiet{}); !errors.Is(err, ErrSilent) {
				t.Errorf("%v, %v", v, err)
			}
		})
	}
}
