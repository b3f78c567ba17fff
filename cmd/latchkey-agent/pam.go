package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"latchkey"
	"latchkey/internal/agent"
	"latchkey/internal/agent/ipc"
	"latchkey/internal/agent/stack"
	"latchkey/internal/frame"
)

// confirmWithin is how long a change of the login stacks waits for somebody
// who still gets in.
const confirmWithin = 5 * time.Minute

// pamFlags say which machine's stacks are meant, and where its agent is.
type pamFlags struct {
	root, state, socket string
	apply, confirm      bool
	options             stack.Options
}

func (f *pamFlags) tree() stack.Tree { return stack.Tree{Root: f.root} }

func (f *pamFlags) keeper() stack.Keeper {
	return stack.Keeper{
		Tree: f.tree(), State: f.state,
		CheckSSHD:  f.checkSSHD,
		StartTimer: func() error { return startDetached("pam", "revert", "--wait", "--root", f.root, "--state", f.state) },
	}
}

// pam looks at the machine's login stacks and changes them.
func (p *program) pam() *cobra.Command {
	f := &pamFlags{}
	cmd := &cobra.Command{
		Use: "pam", Short: "Look at the machine's login stacks and put the code into them",
		Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
			return ranError{&usageError{"which verb?", c.CommandPath() + " --help"}}
		},
	}
	fl := cmd.PersistentFlags()
	fl.StringVar(&f.root, "root", "/", "look at a copy of a machine's files instead")
	fl.StringVar(&f.state, "state", agent.StateDir, "the machine's state directory")
	fl.StringVar(&f.socket, "socket", agent.LoginSocket, "where the agent answers front-ends")
	cmd.AddCommand(p.pamShow(f), p.pamEnable(f), p.pamDisable(f), p.pamConfirm(f), p.pamRevert(f))
	return cmd
}

// services is a verb that takes any number of PAM services.
func services(use, short string, do func(ctx context.Context, names []string) error) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Args: cobra.ArbitraryArgs, RunE: func(c *cobra.Command, args []string) error {
		if err := do(c.Context(), args); err != nil {
			return ranError{err}
		}
		return nil
	}}
}

// shown is a stack as `pam show --json` prints it.
type shown struct {
	stack.Door
	File    string   `json:"file"`
	Auth    []string `json:"auth"`
	Account []string `json:"account"`
}

func (p *program) pamShow(f *pamFlags) *cobra.Command {
	return services("show [SERVICE...]", "Show what PAM makes of the services' files, our lines marked, and what it is worth", func(_ context.Context, names []string) error {
		tree := f.tree()
		if len(names) == 0 {
			doors, err := tree.PAMDoors()
			if err != nil {
				return err
			}
			for _, d := range doors {
				names = append(names, d.Name)
			}
		}
		var all []shown
		for _, n := range names {
			s := tree.Load(n)
			all = append(all, shown{tree.PAMDoor(n), s.File, marked(s.Auth), marked(s.Account)})
		}
		return p.print(all, func(w io.Writer) {
			for _, s := range all {
				s.describe(w)
			}
		})
	})
}

// marked writes the lines of a phase, ours behind an arrow.
func marked(lines []stack.Line) []string {
	out := []string{}
	for _, l := range lines {
		mark := "   "
		if l.Ours() {
			mark = "-> "
		}
		out = append(out, fmt.Sprintf("%s%s  (%s:%d)", mark, strings.Join(strings.Fields(l.Text), " "), l.File, l.Number))
	}
	return out
}

func (s shown) describe(w io.Writer) {
	fmt.Fprintf(w, "%s: %s\n", visible(s.Name), s.State)
	for _, l := range append(append([]string{}, s.Auth...), s.Account...) {
		fmt.Fprintln(w, "  "+visible(l))
	}
	describeDoor(w, s.Door)
}

func describeDoor(w io.Writer, d stack.Door) {
	for _, r := range d.Reasons {
		fmt.Fprintln(w, "  why:  "+visible(r))
	}
	for _, n := range d.Notes {
		fmt.Fprintln(w, "  note: "+visible(n))
	}
	if d.Next != "" {
		fmt.Fprintln(w, "  next: "+visible(d.Next))
	}
}

func (p *program) pamEnable(f *pamFlags) *cobra.Command {
	cmd := services("enable SERVICE...", "Put the code into services: a dry run unless --apply", func(ctx context.Context, names []string) error {
		if f.confirm && len(names) == 0 {
			return p.confirm(f)
		}
		if len(names) == 0 {
			return &usageError{"which services?", "latchkey-agent doctor lists them"}
		}
		plan, err := f.tree().PlanEnable(names, f.options)
		if err != nil {
			return unplanned(err)
		}
		tests := f.selfTest(ctx)
		p.showPlan(plan, tests)
		if !f.apply || len(plan.Changes) == 0 {
			return p.dry(f, plan)
		}
		for _, t := range tests {
			if t.State == failed {
				return latchkey.Errorf(latchkey.Conflict, "nothing was changed: %s: %s", t.Name, t.Text).WithHint("%s", t.Next)
			}
		}
		return p.carryOut(f, plan)
	})
	fl := cmd.Flags()
	fl.BoolVar(&f.apply, "apply", false, "write the files; they change back after five minutes unless confirmed")
	fl.BoolVar(&f.confirm, "confirm", false, "let the last change stay; with --apply, this one at once")
	fl.StringVar(&f.options.RescueGroup, "rescue-group", "", "let this group in at the console while the agent is dead: a standing exemption")
	fl.IntVar(&f.options.Split, "split", 0, "for programs with one field: how many characters at its end are the code")
	return cmd
}

func (p *program) pamDisable(f *pamFlags) *cobra.Command {
	cmd := services("disable SERVICE...", "Take exactly our lines out of services: a dry run unless --apply", func(_ context.Context, names []string) error {
		if len(names) == 0 {
			return &usageError{"which services?", "latchkey-agent doctor lists them"}
		}
		plan, err := f.tree().PlanDisable(names)
		if err != nil {
			return unplanned(err)
		}
		f.confirm = true // fewer questions lock nobody out
		p.showPlan(plan, nil)
		if !f.apply || len(plan.Changes) == 0 {
			return p.dry(f, plan)
		}
		return p.carryOut(f, plan)
	})
	cmd.Flags().BoolVar(&f.apply, "apply", false, "write the files")
	return cmd
}

func unplanned(err error) error {
	switch {
	case errors.Is(err, stack.ErrNoService):
		return latchkey.Errorf(latchkey.NotFound, "%s", err).WithHint("latchkey-agent doctor lists the services of this machine")
	case errors.Is(err, stack.ErrNoPlace):
		return latchkey.Errorf(latchkey.Conflict, "%s", err).WithHint("write the lines by hand, then look: latchkey-agent pam show")
	}
	return err
}

func (p *program) showPlan(plan stack.Plan, tests []check) {
	fmt.Fprint(p.out, plan.Diff())
	for _, n := range plan.Notes {
		fmt.Fprintln(p.err, "note: "+visible(n))
	}
	for _, t := range tests {
		fmt.Fprintf(p.err, "self-test: %s: %s: %s\n", t.Name, t.State, visible(t.Text))
	}
}

func (p *program) dry(f *pamFlags, plan stack.Plan) error {
	switch {
	case len(plan.Changes) == 0:
		fmt.Fprintln(p.err, "nothing to change")
	case !f.apply:
		fmt.Fprintln(p.err, "nothing was changed: this was a dry run, --apply writes the files")
	}
	return nil
}

func (p *program) carryOut(f *pamFlags, plan stack.Plan) error {
	now, err := stack.Now()
	if err != nil {
		return err
	}
	k := f.keeper()
	if err := k.Apply(plan, now, confirmWithin); err != nil {
		return pendingHint(err)
	}
	f.reloadSSHD(plan.Changes)
	if f.confirm {
		return p.confirm(f)
	}
	fmt.Fprintf(p.err, "written. Keep this shell open and sign in once more, elsewhere. Then: latchkey-agent pam confirm\nOtherwise everything changes back in %s, and at a restart.\n", confirmWithin)
	return nil
}

func pendingHint(err error) error {
	if errors.Is(err, stack.ErrPending) {
		return latchkey.Errorf(latchkey.Conflict, "%s", err).WithHint("latchkey-agent pam confirm, or latchkey-agent pam revert")
	}
	if errors.Is(err, stack.ErrNothingPending) {
		return latchkey.Errorf(latchkey.NotFound, "%s", err).WithHint("a change that is not confirmed in time has been taken back already: latchkey-agent pam show")
	}
	return err
}

func (p *program) confirm(f *pamFlags) error {
	if err := f.keeper().Confirm(); err != nil {
		return pendingHint(err)
	}
	fmt.Fprintln(p.err, "confirmed: the change stays")
	return nil
}

func (p *program) pamConfirm(f *pamFlags) *cobra.Command {
	return verb("confirm", "Let the last change of the login stacks stay", func(context.Context, []string) error { return p.confirm(f) })
}

func (p *program) pamRevert(f *pamFlags) *cobra.Command {
	var wait bool
	cmd := verb("revert", "Take the last change of the login stacks back, unless it is confirmed", func(ctx context.Context, _ []string) error {
		if wait {
			return f.awaitRevert(ctx)
		}
		pending, err := f.keeper().Pending()
		if err != nil {
			return pendingHint(err)
		}
		if err := f.keeper().Revert(); err != nil {
			return err
		}
		f.reloadAfter(pending)
		fmt.Fprintln(p.err, "reverted")
		return nil
	})
	cmd.Flags().BoolVar(&wait, "wait", false, "wait until it is due")
	return cmd
}

// awaitRevert is the timer: it ends when nothing waits any more. It looks
// often, because the clocks may jump and a confirmation tells nobody, and it
// tries again after an error: a full disk may be emptied.
func (f *pamFlags) awaitRevert(ctx context.Context) error {
	for {
		left, err := f.revertDue()
		if err == nil && left == 0 {
			return nil
		}
		if err != nil {
			left = time.Second
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(min(left, 5*time.Second)):
		}
	}
}

// revertDue takes a change back that is due, and returns how long one that is
// not has left.
func (f *pamFlags) revertDue() (time.Duration, error) {
	now, err := stack.Now()
	if err != nil {
		return 0, err
	}
	k := f.keeper()
	pending, none := k.Pending()
	left, reverted, err := k.RevertDue(now)
	if none == nil && reverted {
		f.reloadAfter(pending)
	}
	return left, err
}

// resumeRevert is for the start of the agent, while it is root still: a change
// that nobody confirmed does not survive a restart.
func resumeRevert(state string) error {
	f := &pamFlags{root: "/", state: state}
	left, err := f.revertDue()
	if err != nil || left == 0 {
		return err
	}
	return f.keeper().StartTimer()
}

// selfTest is what has to hold before a login stack is made to depend on the
// agent.
func (f *pamFlags) selfTest(ctx context.Context) []check {
	return []check{f.moduleCheck(), probe(ctx, f.socket)}
}

func (f *pamFlags) moduleCheck() check {
	tree := f.tree()
	err := tree.CheckModule(stack.Module)
	if err == nil {
		err = tree.ModuleLoads(stack.Module)
	}
	return result("PAM module", err, "present, root's, with all entry points", "install the package again")
}

// probe asks the agent as the module does, about an account: nobody is asked
// for anything and nothing is counted.
func probe(ctx context.Context, socket string) check {
	const name, next = "agent answers front-ends", "systemctl restart latchkey-agent, then journalctl -u latchkey-agent"
	conn, err := ipc.Dial(ctx, socket)
	if err != nil {
		return result(name, err, "", next)
	}
	root := uint32(0)
	v, err := ipc.Converse(ctx, conn, frame.Hello{MinVersion: frame.OldestVersion, MaxVersion: frame.Version, Kind: "cli"},
		frame.Begin{Op: frame.OpAccount, Scenario: string(latchkey.Console), Service: "latchkey-agent", User: "root", UID: &root}, noFront{})
	if err == nil && v.Outcome == frame.Unavailable {
		err = errors.New("it says that it cannot judge")
	}
	return result(name, err, "yes", next)
}

// noFront has nobody to ask.
type noFront struct{}

func (noFront) Ask(context.Context, frame.Ask) ([]byte, error) {
	return nil, errors.New("nobody is here")
}
func (noFront) Say(frame.Say) {}

// checkSSHD has sshd look at its configuration as it is now.
func (f *pamFlags) checkSSHD() error {
	sshd, err := exec.LookPath("/usr/sbin/sshd")
	if err != nil || filepath.Clean(f.root) != "/" {
		return nil // a copy's configuration names this machine's files
	}
	for range 2 {
		out, failure := exec.Command(sshd, "-t").CombinedOutput()
		if failure == nil {
			return nil
		}
		err = fmt.Errorf("sshd -t: %w: %s", failure, strings.TrimSpace(string(out)))
		if !strings.Contains(string(out), "Missing privilege separation directory") {
			return err
		}
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil { // as its unit does when it starts
			return err
		}
	}
	return err
}

func (f *pamFlags) reloadAfter(p stack.Pending) {
	var changes []stack.Change
	for _, u := range p.Files {
		changes = append(changes, stack.Change{File: u.File})
	}
	f.reloadSSHD(changes)
}

// reloadSSHD makes a running sshd read its configuration again. Where it
// cannot, sshd goes on as before, which doctor shows.
func (f *pamFlags) reloadSSHD(changes []stack.Change) {
	if _, err := os.Stat("/run/systemd/system"); err != nil || filepath.Clean(f.root) != "/" {
		return
	}
	for _, c := range changes {
		if strings.HasPrefix(c.File, "/etc/ssh/") {
			for _, unit := range []string{"ssh.service", "sshd.service"} {
				_ = exec.Command("systemctl", "try-reload-or-restart", unit).Run()
			}
			return
		}
	}
}

// table writes rows in columns.
func table(w io.Writer, rows [][]string) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, r := range rows {
		for i := range r {
			r[i] = visible(r[i])
		}
		fmt.Fprintln(t, strings.TrimRight(strings.Join(r, "\t"), "\t "))
	}
	_ = t.Flush()
}
