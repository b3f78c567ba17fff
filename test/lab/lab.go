//go:build linux

// Package lab builds small worlds of real components for tests and for the
// demonstration: a server and machines in network and mount namespaces of
// their own, joined by cables that can be cut, with real sshd, sudo, su and
// login, codes from oathtool and whole systemd machines.
//
// It refuses to touch the machine it runs on: no file of /etc is changed, no
// process but its own is ended, and nothing of it stays when it is closed.
// What a killed run left behind, the next one removes.
package lab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// A TB is the part of testing.TB that the lab uses; the demonstration has its
// own. Fatalf does not return.
type TB interface {
	Helper()
	Logf(format string, args ...any)
	Fatalf(format string, args ...any)
	Failed() bool
	Cleanup(func())
}

// prefix begins the name of everything outside the process that a lab makes;
// the process's pid follows.
const prefix = "latchkey-lab-"

// A Lab is one world: a server's namespace and the machines joined to it.
type Lab struct {
	tb       TB
	name     string // prefix, pid and a number
	dir      string // everything on disk, readable by all, writable by root
	server   *Cell
	machines int
	netns    int
}

var (
	serial atomic.Int64
	sweep  sync.Once
)

// New makes an empty world with room for a server. It needs root.
func New(tb TB) *Lab {
	tb.Helper()
	if os.Geteuid() != 0 {
		tb.Fatalf(`lab: real components need root: run make test, or go test -exec "sudo -n -E" ./test/...`)
	}
	sweep.Do(removeLeftovers)
	l := &Lab{tb: tb, name: fmt.Sprintf("%s%d-%d", prefix, os.Getpid(), serial.Add(1))}
	l.dir = filepath.Join("/tmp", l.name)
	if err := os.Mkdir(l.dir, 0o755); err != nil {
		tb.Fatalf("lab: %v", err)
	}
	tb.Cleanup(func() { removeFolder(l.dir) })
	must(tb, os.Chmod(l.dir, 0o755)) // whatever the umask: test users reach their homes
	hosts := l.file("hosts", "127.0.0.1 localhost server "+ServerName+"\n", 0o644)
	l.server = l.newCell("server", map[string]string{"/etc/hosts": hosts})
	return l
}

// Dir is the lab's folder. Every user may look into it, root writes.
func (l *Lab) Dir() string { return l.dir }

// file writes a file of the lab and returns its path.
func (l *Lab) file(name, content string, mode os.FileMode) string {
	l.tb.Helper()
	p := filepath.Join(l.dir, name)
	must(l.tb, os.MkdirAll(filepath.Dir(p), 0o755))
	must(l.tb, os.WriteFile(p, []byte(content), mode))
	must(l.tb, os.Chmod(p, mode))
	return p
}

// removeLeftovers ends and removes what runs that were killed left behind:
// namespaces and folders with our prefix and the pid of a process that is gone.
func removeLeftovers() {
	for _, ns := range entries("/run/netns") {
		if abandoned(ns) {
			endNamespace(ns)
		}
	}
	for _, dir := range entries("/tmp") {
		if abandoned(dir) {
			removeFolder(filepath.Join("/tmp", dir))
		}
	}
}

// removeFolder removes a lab's folder and what is mounted in it.
func removeFolder(dir string) {
	mounts, _ := os.ReadFile("/proc/self/mounts")
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); len(f) > 1 && strings.HasPrefix(f[1], dir+"/") {
			unix.Unmount(f[1], unix.MNT_DETACH)
		}
	}
	os.RemoveAll(dir)
}

func entries(dir string) []string {
	list, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

// abandoned says whether a name of ours belongs to a process that is gone.
func abandoned(name string) bool {
	rest, ours := strings.CutPrefix(name, prefix)
	if !ours {
		return false
	}
	digits, _, _ := strings.Cut(rest, "-")
	pid, err := strconv.Atoi(digits)
	return err == nil && pid > 0 && syscall.Kill(pid, 0) == syscall.ESRCH
}

// endNamespace kills the processes in a network namespace of ours and removes
// it. Children of sshd and the like are found this way too.
func endNamespace(name string) {
	for range 20 {
		out, _ := exec.Command("ip", "netns", "pids", name).Output()
		pids := strings.Fields(string(out))
		if len(pids) == 0 {
			break
		}
		for _, field := range pids {
			if pid, err := strconv.Atoi(field); err == nil {
				syscall.Kill(pid, syscall.SIGKILL)
			}
		}
	}
	exec.Command("ip", "netns", "delete", name).Run()
}

// ip runs the ip command; what it cannot do ends the test.
func (l *Lab) ip(args ...string) {
	l.tb.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		l.tb.Fatalf("lab: ip %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func must(tb TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatalf("lab: %v", err)
	}
}
