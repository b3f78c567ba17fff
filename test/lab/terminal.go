//go:build linux

package lab

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/creack/pty"
)

// A Terminal is a person at a terminal: reads what a program shows, types.
type Terminal struct {
	tb     TB
	cmd    *exec.Cmd
	master *os.File
	heard  chan struct{} // one token after each read
	done   chan struct{} // closed when the program has ended and all is read

	mu   sync.Mutex
	text strings.Builder // all that was shown
	from int             // where the next Expect begins to read
}

// OnTerminal starts a command of the cell on a terminal of its own.
func (c *Cell) OnTerminal(args ...string) *Terminal {
	c.tb.Helper()
	cmd := c.Command(args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return NewTerminal(c.tb, cmd)
}

// NewTerminal starts a command of the caller's on a terminal of its own.
func NewTerminal(tb TB, cmd *exec.Cmd) *Terminal {
	tb.Helper()
	master, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 40, Cols: 200})
	must(tb, err)
	t := &Terminal{tb: tb, cmd: cmd, master: master, heard: make(chan struct{}, 1), done: make(chan struct{})}
	go t.listen()
	tb.Cleanup(t.Hangup)
	return t
}

func (t *Terminal) listen() {
	buf := make([]byte, 4096)
	for {
		n, err := t.master.Read(buf)
		t.mu.Lock()
		t.text.Write(buf[:n])
		t.mu.Unlock()
		select {
		case t.heard <- struct{}{}:
		default:
		}
		if err != nil { // EIO: nobody has the other end open any more
			break
		}
	}
	t.cmd.Wait()
	close(t.done)
}

// Expect reads on until the pattern (regexp syntax) is shown and returns what
// stood before it and the match. The next Expect begins after it.
func (t *Terminal) Expect(pattern string) string {
	t.tb.Helper()
	re := regexp.MustCompile(pattern)
	timeout := time.After(patience)
	for ended := false; ; {
		t.mu.Lock()
		rest := t.text.String()[t.from:]
		at := re.FindStringIndex(rest)
		if at != nil {
			t.from += at[1]
		}
		t.mu.Unlock()
		if at != nil {
			return strings.ReplaceAll(rest[:at[1]], "\r\n", "\n")
		}
		if ended {
			t.tb.Fatalf("lab: %v ended without showing %q; it showed:\n%s", t.cmd.Args, pattern, t.Shown())
		}
		select {
		case <-t.heard:
		case <-t.done:
			ended = true
		case <-timeout:
			t.tb.Fatalf("lab: %v did not show %q within %v; it showed:\n%s", t.cmd.Args, pattern, patience, t.Shown())
		}
	}
}

// Type sends a line.
func (t *Terminal) Type(line string) {
	t.tb.Helper()
	t.Press(line + "\r")
}

// CtrlC is the key that interrupts.
const CtrlC = "\x03"

// Press sends keys.
func (t *Terminal) Press(keys string) {
	t.tb.Helper()
	if _, err := t.master.WriteString(keys); err != nil {
		t.tb.Fatalf("lab: typing: %v; shown so far:\n%s", err, t.Shown())
	}
}

// Shown returns everything that was shown so far.
func (t *Terminal) Shown() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.ReplaceAll(t.text.String(), "\r\n", "\n")
}

// Wait waits for the program to end and returns its exit code.
func (t *Terminal) Wait() int {
	t.tb.Helper()
	select {
	case <-t.done:
	case <-time.After(patience):
		t.tb.Fatalf("lab: %v did not end within %v; it showed:\n%s", t.cmd.Args, patience, t.Shown())
	}
	return t.cmd.ProcessState.ExitCode()
}

// Ended waits up to d for the program to end and says whether it has.
func (t *Terminal) Ended(d time.Duration) bool {
	select {
	case <-t.done:
		return true
	case <-time.After(d):
		return false
	}
}

// Hangup closes the terminal and ends the program.
func (t *Terminal) Hangup() {
	t.cmd.Process.Kill()
	t.master.Close()
	<-t.done
}
