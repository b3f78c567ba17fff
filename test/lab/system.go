//go:build linux

package lab

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A System is a whole machine in systemd-nspawn: its own systemd as PID 1,
// logind, getty on a console, packages. It has the users root and ana, both
// with Password, and takes longer than a Machine: 2 s to boot.
type System struct {
	*Cell
	*cable
	Console *Terminal // its getty

	lab   *Lab
	dir   string
	root  string
	binds []string
}

var tree = sync.OnceValues(func() (string, error) {
	_, here, _, _ := runtime.Caller(0)
	cmd := exec.Command(filepath.Join(filepath.Dir(here), "../../scripts/nspawn-tree"))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	return strings.TrimSpace(string(out)), err
})

// System boots a machine. Files and folders given as path-in-the-system →
// path-here are seen in it, read-only.
func (l *Lab) System(name string, files map[string]string) *System {
	l.tb.Helper()
	base, err := tree()
	if err != nil {
		l.tb.Fatalf("lab: scripts/nspawn-tree: %v", err)
	}
	s := &System{lab: l, dir: filepath.Join(l.dir, name), Cell: l.network(name)}
	s.cable = l.join(s.Cell)
	hosts := l.file(filepath.Join(name, "hosts"), fmt.Sprintf("127.0.0.1 localhost %s\n%s %s\n", name, s.serverAddress(), ServerName), 0o644)
	files = maps.Clone(files)
	if files == nil {
		files = map[string]string{}
	}
	files["/etc/hosts"] = hosts
	for _, inside := range slices.Sorted(maps.Keys(files)) {
		s.binds = append(s.binds, "--bind-ro="+files[inside]+":"+inside)
	}
	s.layer(base)
	s.Boot()
	return s
}

// layer mounts a writable layer over the base tree. The layer is in memory:
// a folder that is itself an overlay could not carry one.
func (s *System) layer(base string) {
	s.lab.tb.Helper()
	memory := filepath.Join(s.dir, "layer")
	s.root = filepath.Join(s.dir, "root")
	upper, work := filepath.Join(memory, "upper"), filepath.Join(memory, "work")
	must(s.lab.tb, os.MkdirAll(memory, 0o755))
	must(s.lab.tb, os.MkdirAll(s.root, 0o755))
	must(s.lab.tb, unix.Mount("layer", memory, "tmpfs", 0, "mode=755"))
	must(s.lab.tb, os.Mkdir(upper, 0o755))
	must(s.lab.tb, os.Mkdir(work, 0o755))
	must(s.lab.tb, unix.Mount("root", s.root, "overlay", 0, fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", base, upper, work)))
}

// Boot starts the system and waits for the console's login prompt. After
// PowerOff it boots again from the same disk, with a new boot id.
func (s *System) Boot() {
	s.lab.tb.Helper()
	args := append([]string{
		"--quiet", "--directory=" + s.root, "--machine=" + strings.ReplaceAll(s.netns, "_", "-"), "--hostname=" + s.name, "--boot",
		"--network-namespace-path=/run/netns/" + s.netns, "--register=no", "--keep-unit", "--resolv-conf=off", "--timezone=off",
	}, s.binds...)
	cmd := exec.Command("systemd-nspawn", args...)
	cmd.Env = s.env
	// SIGTERM stops the system; SIGKILL would orphan its PID 1.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	s.Console = NewTerminal(s.lab.tb, cmd)
	s.lab.tb.Cleanup(s.end) // before the terminal's own, which kills
	s.Console.Expect(`login: `)
	s.holder = s.leader()
	s.enter = []string{"--mount", "--net", "--uts", "--ipc", "--pid"}
}

// leader is the system's PID 1: the only child of systemd-nspawn.
func (s *System) leader() int {
	s.lab.tb.Helper()
	pid := strconv.Itoa(s.Console.cmd.Process.Pid)
	children, err := os.ReadFile(filepath.Join("/proc", pid, "task", pid, "children"))
	must(s.lab.tb, err)
	fields := strings.Fields(string(children))
	if len(fields) != 1 {
		s.lab.tb.Fatalf("lab: systemd-nspawn has children %v, want one", fields)
	}
	leader, err := strconv.Atoi(fields[0])
	must(s.lab.tb, err)
	return leader
}

// PowerOff shuts the system down in good order.
func (s *System) PowerOff() {
	s.lab.tb.Helper()
	s.Run("", "systemctl", "poweroff") // its end may take the command with it
	if code := s.Console.Wait(); code != 0 {
		s.lab.tb.Fatalf("lab: %s powered off with %d\n%s", s.name, code, s.Console.Shown())
	}
}

// PowerCut ends the system at once, as when the battery is pulled. What was
// written is on its disk.
func (s *System) PowerCut() {
	s.lab.tb.Helper()
	syscall.Kill(s.holder, syscall.SIGKILL)
	s.Console.Wait()
}

func (s *System) end() {
	select {
	case <-s.Console.done:
		return
	default:
	}
	s.Console.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.Console.done:
	case <-time.After(15 * time.Second):
		if s.holder != 0 {
			syscall.Kill(s.holder, syscall.SIGKILL)
		}
	}
}

// Login signs in at the console with the password and leaves the rest of the
// conversation to the caller.
func (s *System) Login(user string) *Terminal {
	s.lab.tb.Helper()
	s.Console.Type(user)
	s.Console.Expect(`assword: `)
	s.Console.Type(Password)
	return s.Console
}
