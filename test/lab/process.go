//go:build linux

package lab

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// A Process is a daemon that runs in a cell, with its output in a file.
type Process struct {
	tb   TB
	cmd  *exec.Cmd
	log  string
	done chan struct{}
}

// start runs a daemon in a cell. It is stopped when the test ends; when the
// test failed, the end of its log is shown.
func (c *Cell) start(log string, cmd *exec.Cmd) *Process {
	c.tb.Helper()
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	must(c.tb, err)
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	must(c.tb, cmd.Start())
	p := &Process{tb: c.tb, cmd: cmd, log: log, done: make(chan struct{})}
	go func() { cmd.Wait(); close(p.done) }()
	c.tb.Cleanup(func() {
		p.end(syscall.SIGTERM)
		if c.tb.Failed() {
			c.tb.Logf("end of %s:\n%s", filepath.Base(log), p.tail(40))
		}
	})
	return p
}

// Stop asks the process to end and waits; one that does not end within half a
// minute or ends with an error fails the test: an agent waits for people at prompts.
func (p *Process) Stop() {
	p.tb.Helper()
	if !p.end(syscall.SIGTERM) {
		p.tb.Fatalf("lab: %v did not end on SIGTERM\n%s", p.cmd.Args, p.tail(20))
	}
	if !p.cmd.ProcessState.Success() {
		p.tb.Fatalf("lab: %v ended with %v\n%s", p.cmd.Args, p.cmd.ProcessState, p.tail(20))
	}
}

// Kill ends the process as a power cut would, from its own point of view.
func (p *Process) Kill() { p.end(syscall.SIGKILL) }

func (p *Process) end(sig syscall.Signal) (asked bool) {
	if p.over() {
		return true
	}
	p.cmd.Process.Signal(sig)
	select {
	case <-p.done:
		return true
	case <-time.After(30 * time.Second):
		p.cmd.Process.Kill()
		<-p.done
		return false
	}
}

func (p *Process) over() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// Log returns all that the process has printed.
func (p *Process) Log() string {
	data, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(data)
}

func (p *Process) tail(lines int) string {
	all := strings.Split(strings.TrimRight(p.Log(), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// ready waits until so, or until the process has ended: then it never will.
func (p *Process) ready(what string, so func() bool) {
	p.tb.Helper()
	await(p.tb, what+" of "+filepath.Base(p.cmd.Path), func() bool {
		if p.over() {
			p.tb.Fatalf("lab: %v ended early: %v\n%s", p.cmd.Args, p.cmd.ProcessState, p.tail(40))
		}
		return so()
	})
}
