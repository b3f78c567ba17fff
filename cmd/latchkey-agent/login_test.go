//go:build linux

package main

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"latchkey/internal/agent/ipc"
	"latchkey/internal/frame"
)

// patience is how long something may take that happens at once.
const patience = 20 * time.Second

// A sitting is one login with the real program. The test is the person and, on
// the other side, the agent.
type sitting struct {
	t        *testing.T
	socket   string
	listener *net.UnixListener
	agent    net.Conn
	cmd      *exec.Cmd
	person   *os.File // types here: a terminal's far side, or a pipe
	tty      *os.File // the near side, nil for a script
	out, err output
	ended    chan struct{}
}

// output is what a program wrote.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *output) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

func (s *output) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.ReplaceAll(s.text.String(), "\r", "")
}

func sit(t *testing.T) *sitting {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: only root may sign others in")
	}
	dir, err := os.MkdirTemp("", "lk") // short: a socket path has 107 bytes
	s := &sitting{t: t, socket: filepath.Join(dir, "login"), ended: make(chan struct{})}
	s.must(err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s.must(os.Chmod(dir, 0o755))
	s.listener, err = ipc.Listen(s.socket, ipc.LoginMode)
	s.must(err)
	t.Cleanup(func() { _ = s.listener.Close() })
	s.cmd = exec.Command("latchkey-agent", s.args()...)
	return s
}

func (s *sitting) args() []string {
	return []string{"login", "ana", "--uid", "61001", "--socket", s.socket}
}

func (s *sitting) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// atTerminal starts the program in front of a person.
func atTerminal(t *testing.T) *sitting {
	t.Helper()
	s := sit(t)
	s.open()
	s.cmd.Stdin, s.cmd.Stdout, s.cmd.Stderr = s.tty, s.tty, s.tty
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	s.start()
	return s
}

func (s *sitting) open() {
	var err error
	s.person, s.tty, err = pty.Open()
	s.must(err)
	s.t.Cleanup(func() { _, _ = s.tty.Close(), s.person.Close() })
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := s.person.Read(buf)
			_, _ = s.out.Write(buf[:n])
			if err != nil {
				return
			}
		}
	}()
}

// inScript starts it with --script, its input an open pipe.
func inScript(t *testing.T) *sitting {
	t.Helper()
	s := sit(t)
	in, person, err := os.Pipe()
	s.must(err)
	s.person = person
	t.Cleanup(func() { _, _ = in.Close(), person.Close() })
	s.cmd.Args = append(s.cmd.Args, "--script")
	s.cmd.Stdin, s.cmd.Stdout, s.cmd.Stderr = in, &s.out, &s.err
	s.start()
	return s
}

func (s *sitting) start() {
	s.t.Helper()
	s.must(s.cmd.Start())
	go func() { _ = s.cmd.Wait(); close(s.ended) }()
	s.t.Cleanup(func() { _ = s.cmd.Process.Kill(); <-s.ended })
}

// answered is the agent that takes the call.
func (s *sitting) answered() *sitting {
	s.t.Helper()
	s.must(s.listener.SetDeadline(time.Now().Add(patience)))
	conn, err := s.listener.Accept()
	s.must(err)
	s.agent = conn
	s.t.Cleanup(func() { _ = conn.Close() })
	s.hears(frame.TypeHello)
	s.hears(frame.TypeBegin)
	s.says(frame.Tick{Version: frame.Version})
	return s
}

// asked waits until the person reads the question.
func (s *sitting) asked(kind frame.Kind) *sitting {
	s.t.Helper()
	s.answered().says(frame.Ask{ID: 1, Kind: kind, Label: "One-time code"})
	s.shows("One-time code")
	return s
}

func (s *sitting) says(m frame.Message) {
	s.t.Helper()
	s.must(frame.Send(s.agent, m))
}

// hears takes the next frame, which must be of that type.
func (s *sitting) hears(want frame.Type) frame.Frame {
	s.t.Helper()
	s.must(s.agent.SetReadDeadline(time.Now().Add(patience)))
	f, err := frame.Read(s.agent)
	if err != nil || f.Type != want {
		s.t.Fatalf("the agent heard %v, %v, want %v; shown:\n%s", f, err, want, s.out.String())
	}
	return f
}

func (s *sitting) press(keys string) {
	s.t.Helper()
	_, err := s.person.WriteString(keys)
	s.must(err)
}

func (s *sitting) signal(sig os.Signal) {
	s.t.Helper()
	s.must(s.cmd.Process.Signal(sig))
}

func (s *sitting) shows(text string) {
	s.t.Helper()
	s.until("showing "+text, func() bool { return strings.Contains(s.out.String(), text) })
}

func (s *sitting) until(what string, holds func() bool) {
	s.t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("not within %v: %s; shown:\n%s", patience, what, s.out.String())
		}
	}
}

// types presses keys and waits until the program has them. It stands still
// meanwhile, because keys take their time through a terminal.
func (s *sitting) types(keys string) {
	s.t.Helper()
	s.signal(syscall.SIGSTOP)
	s.must(unix.Waitid(unix.P_PID, s.cmd.Process.Pid, nil, unix.WSTOPPED, nil))
	s.press(keys)
	s.until("the keys' way", func() bool { return s.queued() == len(keys) })
	s.signal(syscall.SIGCONT)
	s.until("taking the keys", func() bool { return s.queued() == 0 })
}

func (s *sitting) queued() int {
	n, err := unix.IoctlGetInt(int(s.tty.Fd()), unix.TIOCINQ)
	s.must(err)
	return n
}

func (s *sitting) endsWithin(d time.Duration) bool {
	select {
	case <-s.ended:
		return true
	case <-time.After(d):
		return false
	}
}

// exits waits for the program's end.
func (s *sitting) exits(code int) {
	s.t.Helper()
	if !s.endsWithin(patience) {
		s.t.Fatalf("it did not end; shown:\n%s", s.out.String())
	}
	if got := s.cmd.ProcessState.ExitCode(); got != code {
		s.t.Errorf("exit code %d (%v), want %d; shown:\n%s%s", got, s.cmd.ProcessState, code, s.out.String(), s.err.String())
	}
}

func (s *sitting) echoes() bool {
	mode, err := unix.IoctlGetTermios(int(s.tty.Fd()), unix.TCGETS)
	s.must(err)
	const usual = unix.ECHO | unix.ICANON | unix.ISIG
	return mode.Lflag&usual == usual && mode.Oflag&unix.OPOST != 0
}

// clean: the terminal is itself again, and nothing typed is on it or left for
// the shell.
func (s *sitting) clean(typed string) {
	s.t.Helper()
	if !s.echoes() {
		s.t.Error("the terminal is left without echo")
	}
	if typed != "" && strings.Contains(s.out.String(), typed) {
		s.t.Errorf("what was typed is on the screen:\n%s", s.out.String())
	}
	_, err := term.MakeRaw(int(s.tty.Fd())) // shows half a line too
	s.must(err)
	if n := s.queued(); n != 0 {
		s.t.Errorf("%d keys are left for the shell", n)
	}
}
