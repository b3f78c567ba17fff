//go:build linux

package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A process is a program that this run started, and only this run ends.
type process struct {
	cmd     *exec.Cmd
	log     *bytes.Buffer
	started time.Time
}

// start runs a program. It dies with this one, whatever this one dies of.
func start(env []string, args ...string) (*process, error) {
	p := &process{cmd: exec.Command(args[0], args[1:]...), log: new(bytes.Buffer)}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p.started = time.Now()
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	return p, nil
}

// stop ends the program and waits for it.
func (p *process) stop() error {
	if p == nil || p.cmd.ProcessState != nil {
		return nil
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	kill := time.AfterFunc(10*time.Second, func() { p.cmd.Process.Kill() })
	defer kill.Stop()
	if err := p.cmd.Wait(); err != nil {
		return fmt.Errorf("%s: %w\n%s", p.cmd.Path, err, p.log.Bytes())
	}
	return nil
}

// pid names the program in /proc.
func (p *process) pid() int { return p.cmd.Process.Pid }

// cpu is the processor time that the program has used.
func (p *process) cpu() (time.Duration, error) {
	// The clock of a process is its PID turned around, over three bits that ask
	// for the scheduler's own count (kernel, include/linux/posix-timers.h); what
	// /proc says is rounded to 10 ms.
	const scheduler = 2
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^p.pid())<<3|scheduler, &ts); err != nil {
		return 0, fmt.Errorf("reading the clock of process %d: %w", p.pid(), err)
	}
	return time.Duration(ts.Nano()), nil
}

// memory returns VmRSS and VmHWM, as in "23.1 MiB now, 25.0 MiB at most".
func (p *process) memory() (string, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.pid()))
	if err != nil {
		return "", err
	}
	kib := map[string]float64{}
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) == 3 && f[2] == "kB" {
			kib[f[0]], _ = strconv.ParseFloat(f[1], 64)
		}
	}
	if kib["VmRSS:"] == 0 {
		return "", fmt.Errorf("no VmRSS in /proc/%d/status", p.pid())
	}
	return fmt.Sprintf("RSS %.1f MiB now, %.1f MiB at most", kib["VmRSS:"]/1024, kib["VmHWM:"]/1024), nil
}

// until waits for a condition, and gives up when the program ends before it.
func (p *process) until(what string, ok func() bool) error {
	for !ok() {
		if time.Since(p.started) > 30*time.Second {
			return fmt.Errorf("%s: %s did not come\n%s", p.cmd.Path, what, p.log.Bytes())
		}
		time.Sleep(time.Millisecond)
	}
	return nil
}

// freePort is a loopback port that nobody has at the moment.
func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// run runs a program to its end and returns what it printed.
func run(env []string, args ...string) ([]byte, error) {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), env...)
	var out, problem bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problem
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, problem.Bytes())
	}
	return out.Bytes(), nil
}
