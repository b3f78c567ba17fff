package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"latchkey"
	"latchkey/internal/agent"
	"latchkey/internal/agent/ipc"
	"latchkey/internal/agent/stack"
)

// The states of a check.
const (
	fine    = "ok"
	failed  = "failed"
	unknown = "unknown" // not wrong as far as can be seen from here
)

// A check is one thing about the agent's health. Its JSON form is stable.
type check struct {
	Name  string `json:"name"`
	State string `json:"state"` // ok, failed, unknown
	Text  string `json:"text"`
	Next  string `json:"next"`
}

func result(name string, err error, text, next string) check {
	if err != nil {
		return check{name, failed, err.Error(), next}
	}
	return check{name, fine, text, ""}
}

// A diagnosis is what `doctor --json` prints.
type diagnosis struct {
	Healthy bool         `json:"healthy"`
	Doors   []stack.Door `json:"doors"`
	Checks  []check      `json:"checks"`
}

// errUnhealthy ends doctor with a failure; what is wrong has been shown.
var errUnhealthy = errors.New("not every door is protected, or the agent is not well")

func (p *program) doctor() *cobra.Command {
	f := &pamFlags{}
	cmd := verb("doctor", "List every way into this machine as protected, open or wrong, and say how the agent is", func(ctx context.Context, _ []string) error {
		d, err := p.diagnose(ctx, f)
		if err != nil {
			return err
		}
		if err := p.print(d, d.describe); err != nil {
			return err
		}
		if !d.Healthy {
			return errUnhealthy
		}
		return nil
	})
	fl := cmd.Flags()
	fl.StringVar(&f.root, "root", "/", "look at a copy of a machine's files instead")
	fl.StringVar(&f.state, "state", agent.StateDir, "the machine's state directory")
	fl.StringVar(&f.socket, "socket", agent.LoginSocket, "where the agent answers front-ends")
	return cmd
}

func (p *program) diagnose(ctx context.Context, f *pamFlags) (diagnosis, error) {
	doors, err := f.tree().Doors(f.askSSHD(ctx))
	if err != nil {
		return diagnosis{}, err
	}
	d := diagnosis{Healthy: true, Doors: doors}
	d.Checks = append(d.Checks,
		socketCheck("login socket", f.socket, ipc.LoginMode), socketCheck("admin socket", p.admin, ipc.AdminMode),
		probe(ctx, f.socket), f.moduleCheck(), f.stateCheck(), f.pendingCheck(), dumpCheck())
	d.Checks = append(d.Checks, p.agentChecks(ctx)...)
	for _, door := range d.Doors {
		d.Healthy = d.Healthy && (door.State == stack.Protected || door.State == stack.Outside)
	}
	for _, c := range d.Checks {
		d.Healthy = d.Healthy && c.State != failed
	}
	return d, nil
}

// askSSHD is sshd's own word for its configuration, "" where it cannot be
// asked.
func (f *pamFlags) askSSHD(ctx context.Context) string {
	if filepath.Clean(f.root) != "/" {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "/usr/sbin/sshd", "-T").Output()
	if err != nil {
		return ""
	}
	return string(out)
}

func (d diagnosis) describe(w io.Writer) {
	for _, door := range d.Doors {
		fmt.Fprintf(w, "%-9s  %s: %s\n", door.State, door.Kind, visible(door.Name))
		describeDoor(w, door)
	}
	fmt.Fprintln(w)
	var rows [][]string
	for _, c := range d.Checks {
		rows = append(rows, []string{c.State, c.Name, c.Text})
		if c.Next != "" {
			rows = append(rows, []string{"", "", "next: " + c.Next})
		}
	}
	table(w, rows)
}

// socketCheck: nobody but root may put another socket in its place.
func socketCheck(name, path string, mode fs.FileMode) check {
	const next = "systemctl restart latchkey-agent"
	info, err := os.Lstat(path)
	if err != nil {
		return result(name, err, "", next)
	}
	dir, err := os.Lstat(filepath.Dir(path))
	switch {
	case err != nil:
	case info.Mode().Type() != fs.ModeSocket:
		err = errors.New(path + " is no socket")
	case info.Mode().Perm() != mode:
		err = fmt.Errorf("%s has the mode %04o, not %04o", path, info.Mode().Perm(), mode)
	case !stack.OwnedByRoot(info) || !stack.OwnedByRoot(dir):
		err = errors.New(path + " or its folder is not root's")
	case dir.Mode().Perm()&0o022 != 0:
		err = errors.New("others can write to the folder of " + path)
	}
	return result(name, err, path, next)
}

func (f *pamFlags) stateCheck() check {
	info, err := os.Stat(f.state)
	if err == nil && info.Mode().Perm()&0o077 != 0 {
		err = fmt.Errorf("others can look into %s (mode %04o)", f.state, info.Mode().Perm())
	}
	if errors.Is(err, fs.ErrPermission) {
		return check{"state", unknown, "cannot be seen without root's rights", "run doctor as root"}
	}
	return result("state", err, f.state, "chmod 0700 "+f.state+", or enroll the machine")
}

func (f *pamFlags) pendingCheck() check {
	const name = "change of login stacks"
	pending, err := f.keeper().Pending()
	switch {
	case errors.Is(err, stack.ErrNothingPending), errors.Is(err, fs.ErrNotExist):
		return check{name, fine, "none waits to be confirmed", ""}
	case errors.Is(err, fs.ErrPermission):
		return check{name, unknown, "cannot be seen without root's rights", "run doctor as root"}
	case err != nil:
		return result(name, err, "", "look at the state directory")
	}
	return check{name, failed, "changes back at " + pending.Due.UTC().Format(time.RFC3339) + " unless confirmed", "latchkey-agent pam confirm"}
}

// dumpCheck: login programs hold passwords and codes in memory for a moment.
func dumpCheck() check {
	raw, err := os.ReadFile("/proc/sys/fs/suid_dumpable")
	if err != nil {
		return check{"core dumps", unknown, "this system does not say", ""}
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(raw)))
	if err == nil && n == 1 {
		err = errors.New("programs like sudo dump their memory as the user (fs.suid_dumpable = 1)")
	}
	return result("core dumps", err, "of login programs are off, or root's", "sysctl fs.suid_dumpable=0")
}

// agentChecks are what the agent says about itself.
func (p *program) agentChecks(ctx context.Context) []check {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	s, err := agent.NewAdmin(p.admin).Status(ctx)
	if err != nil {
		return []check{
			result("agent answers root", err, "", "run doctor as root; systemctl status latchkey-agent"),
			{"server, clock, records", unknown, "the agent cannot be asked", ""},
		}
	}
	return statusChecks(s)
}

func statusChecks(s agent.Status) []check {
	all := []check{{"agent answers root", fine, s.Machine, ""}}
	add := func(name string, wrong bool, bad, good, next string) {
		var err error
		if wrong {
			err = errors.New(bad)
		}
		all = append(all, result(name, err, good, next))
	}
	add("version", s.Version != agent.Version, "the agent runs "+s.Version+", this program is "+agent.Version, s.Version, "systemctl restart latchkey-agent")
	add("server", !s.Online, s.Server+" did not answer when it was last asked", s.Server, "latchkey-agent sync")
	add("last sync", s.Problem != "", s.Problem, when(s.LastSyncAt), "latchkey-agent sync")
	add("machine", s.State != "" && s.State != latchkey.Active, string(s.State), "active, mode "+string(s.Mode), "ask the administrator: latchkey machine show "+s.Machine)
	add("clock", s.ClockBehind, "behind the time that the server signed", "not behind the time that the server signed", "set the clock, or connect to the server")
	add("records", s.Corrupt, "were lost: nobody can log in offline until the next contact", "whole", "connect to the server")
	add("events", s.LostEvents > 0, strconv.FormatUint(s.LostEvents, 10)+" were lost before they were reported", strconv.Itoa(s.PendingEvents)+" to report", "")
	add("settings", s.Settings != "", s.Settings, "as in the settings file, where there is one", "latchkey-agent config check")
	add("alarms", len(s.Alarms) > 0, alarmText(s), "none since the start", "journalctl -u latchkey-agent")
	return append(all, check{"key class", fine, string(s.KeyClass), ""})
}

func alarmText(s agent.Status) string {
	var texts []string
	for _, n := range notes(s) {
		if n[0] == "alarm" {
			texts = append(texts, n[1])
		}
	}
	return strings.Join(texts, ", ")
}
