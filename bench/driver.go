//go:build linux

package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// libpam's results (security/_pam_types.h).
const (
	pamSuccess = 0
	pamAuthErr = 7
)

// A driver is a PAM application that logs in again and again in one process.
type driver struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

// newDriver makes a PAM service of one line, called as that of the console, and
// an application for it.
func (b *bench) newDriver(line string) (*driver, error) {
	confdir, err := os.MkdirTemp(b.dir, "pam.d.")
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(confdir, "login"), []byte("auth required "+line+"\n"), 0o644); err != nil {
		return nil, err
	}
	d := &driver{cmd: exec.Command(b.driver, confdir, "login")}
	d.cmd.Stderr = os.Stderr
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if d.in, err = d.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := d.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	d.out = bufio.NewReader(out)
	return d, d.cmd.Start()
}

// login logs in once. Anything but the wanted result ends the run: a time
// counts only for what was meant to be measured.
func (d *driver) login(want int, user string, answers ...string) (time.Duration, error) {
	if _, err := fmt.Fprintln(d.in, strings.Join(append([]string{user}, answers...), "\t")); err != nil {
		return 0, err
	}
	line, err := d.out.ReadString('\n')
	if err != nil {
		return 0, err
	}
	var result int
	var took int64
	if _, err := fmt.Sscanf(line, "%d\t%d\t", &result, &took); err != nil {
		return 0, fmt.Errorf("reading %q: %w", line, err)
	}
	if result != want {
		return 0, fmt.Errorf("login of %s: wanted result %d, got %s", user, want, strings.TrimSpace(line))
	}
	return time.Duration(took), nil
}

func (d *driver) stop() error {
	if err := d.in.Close(); err != nil {
		return err
	}
	return d.cmd.Wait()
}
