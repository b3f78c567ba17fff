//go:build linux

package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// patience bounds every wait for something that should be quick; it is long
// because test machines may be busy.
const patience = 60 * time.Second

// A Cell is a computer without a kernel of its own: a network namespace, a
// mount namespace and a host name, held open by a process.
type Cell struct {
	tb     TB
	name   string // host name
	netns  string
	holder int      // a process that lives in it to the end
	enter  []string // nsenter's options for the namespaces that it has
	env    []string
}

// network makes a network namespace and a cell that has nothing else yet.
func (l *Lab) network(hostname string) *Cell {
	l.tb.Helper()
	l.netns++
	c := &Cell{
		tb: l.tb, name: hostname, netns: fmt.Sprintf("%s-%d", l.name, l.netns),
		// Nothing of the developer's environment leaks in.
		env: []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8", "TERM=dumb"},
	}
	l.ip("netns", "add", c.netns)
	l.tb.Cleanup(func() { endNamespace(c.netns) })
	l.ip("-n", c.netns, "link", "set", "lo", "up")
	return c
}

// newCell makes a cell whose file system is ours but for its own, empty /run
// and /var/log, and for the mounts given as path-in-the-cell → path-here.
func (l *Lab) newCell(hostname string, mounts map[string]string) *Cell {
	l.tb.Helper()
	c := l.network(hostname)
	c.enter = []string{"--mount", "--net", "--uts"}

	var script strings.Builder
	script.WriteString("set -e\necho \"$1\" >/proc/sys/kernel/hostname\n")
	// sudo's timestamps, utmp, wtmp, sockets: none of them is the machine's own.
	script.WriteString("mount -t tmpfs -o mode=755 run /run\nmount -t tmpfs -o mode=755 log /var/log\nmkdir /run/sshd /run/latchkey /run/lock\n")
	for inside, outside := range mounts {
		fmt.Fprintf(&script, "mount --bind %s %s\n", outside, inside)
	}
	script.WriteString("echo ready\nexec sleep infinity\n")

	holder := exec.Command("ip", "netns", "exec", c.netns, "unshare", "--mount", "--uts", "--propagation", "private",
		"sh", "-c", script.String(), "sh", hostname)
	holder.SysProcAttr = dieWithUs()
	holder.Env = c.env
	var complaint bytes.Buffer
	holder.Stderr = &complaint
	out, err := holder.StdoutPipe()
	must(l.tb, err)
	must(l.tb, holder.Start())
	l.tb.Cleanup(func() { holder.Process.Kill(); holder.Wait() })
	if _, err := io.ReadFull(out, make([]byte, len("ready\n"))); err != nil {
		l.tb.Fatalf("lab: making cell %s: %v: %s", hostname, err, complaint.String())
	}
	c.holder = holder.Process.Pid
	return c
}

// dieWithUs has the kernel end a child when the test process dies, however it
// dies.
func dieWithUs() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

// Name is the name by which the cell knows itself.
func (c *Cell) Name() string { return c.name }

// Path returns where a path of the cell is seen from outside.
func (c *Cell) Path(inside string) string {
	return filepath.Join("/proc", strconv.Itoa(c.holder), "root", inside)
}

// Command prepares a command in the cell; the started process is the command
// itself, so signals reach it.
func (c *Cell) Command(args ...string) *exec.Cmd {
	enter := append([]string{"--target", strconv.Itoa(c.holder), "--wdns=/"}, c.enter...)
	cmd := exec.Command("nsenter", append(append(enter, "--"), args...)...)
	cmd.Env = append([]string(nil), c.env...)
	cmd.SysProcAttr = dieWithUs()
	return cmd
}

// A Result is what a finished command said.
type Result struct {
	Code           int
	Stdout, Stderr string
}

func (r Result) String() string {
	return fmt.Sprintf("exit %d\nstdout: %s\nstderr: %s", r.Code, r.Stdout, r.Stderr)
}

// Run runs a command in the cell to its end, whatever its exit code. Stdin is
// what the command reads; "" is an empty input.
func (c *Cell) Run(stdin string, args ...string) Result {
	c.tb.Helper()
	return c.finish(c.Command(args...), stdin)
}

func (c *Cell) finish(cmd *exec.Cmd, stdin string) Result {
	c.tb.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	cmd.WaitDelay = time.Second
	must(c.tb, cmd.Start())
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { cmd.Process.Kill() })
	err := cmd.Wait()
	if !stop() {
		c.tb.Fatalf("lab: %s: %v took more than %v\nstdout: %s\nstderr: %s", c.name, cmd.Args, patience, &stdout, &stderr)
	}
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		c.tb.Fatalf("lab: %s: %v: %v", c.name, cmd.Args, err)
	}
	return Result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// Must is Run for a command that has to succeed; it returns what it printed.
func (c *Cell) Must(args ...string) string {
	c.tb.Helper()
	r := c.Run("", args...)
	if r.Code != 0 {
		c.tb.Fatalf("lab: %s: %s: %v", c.name, strings.Join(args, " "), r)
	}
	return r.Stdout
}

// listens says whether something in the cell listens on a TCP port.
func (c *Cell) listens(port int) bool {
	for _, table := range []string{"tcp", "tcp6"} {
		data, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(c.holder), "net", table))
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(data)) {
			f := strings.Fields(line)
			const listening = "0A"
			if len(f) > 3 && f[3] == listening && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", port)) {
				return true
			}
		}
	}
	return false
}

// await polls until something is so. It is for things outside the process that
// nobody announces; give says what was waited for.
func await(tb TB, give string, so func() bool) {
	tb.Helper()
	for deadline := time.Now().Add(patience); !so(); {
		if time.Now().After(deadline) {
			tb.Fatalf("lab: waited %v for %s", patience, give)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
