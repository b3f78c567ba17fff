//go:build linux

package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Reboot is a machine's power cut and next start, as its agent sees them: the
// process is gone without a word, the boot has another name and its clock
// begins at nothing. The machine needs a clock of its own or one that nobody
// looks at between boots: time since boot is the clock's.
func (m *Machine) Reboot() {
	m.lab.tb.Helper()
	m.Kill()
	m.boots++
	id := m.file("boot_id", fmt.Sprintf("00000000-0000-4000-8000-%012d\n", m.boots), 0o644)
	if m.boots == 1 { // the same file from then on
		m.Must("mount", "--bind", id, "/proc/sys/kernel/random/boot_id")
	}
	m.clock.restart()
	m.RunAgent()
}

// restart lets time since boot begin anew, a few seconds ago.
func (c *Clock) restart() {
	c.tb.Helper()
	var ts unix.Timespec
	must(c.tb, unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts))
	c.boot = 5*time.Second - time.Duration(ts.Nano())
	c.write()
}

// Pause stops the agent where it stands, as a machine that swaps does; Resume
// lets it go on.
func (p *Process) Pause() { p.signal(syscall.SIGSTOP) }

// Resume undoes Pause.
func (p *Process) Resume() { p.signal(syscall.SIGCONT) }

func (p *Process) signal(s syscall.Signal) {
	p.tb.Helper()
	must(p.tb, p.cmd.Process.Signal(s))
}

// PID is the process itself, not a shell around it.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// File writes a file of the lab that every program in it can read.
func (l *Lab) File(name, content string) string {
	l.tb.Helper()
	return l.file(filepath.Join("files", name), content, os.FileMode(0o644))
}
