package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"latchkey/internal/agent"
	"latchkey/internal/bugreport"
)

// agentUnit is the service that packages install.
const agentUnit = "latchkey-agent.service"

// packed is the JSON of bugreport.
type packed struct {
	File  string   `json:"file"`
	Parts []string `json:"parts"`
}

func (p *program) bugreport() *cobra.Command {
	f := &pamFlags{}
	var out, log, config string
	var names bool
	cmd := verb("bugreport", "Pack what support needs into one file, without secrets and names", func(ctx context.Context, _ []string) error {
		now := time.Now()
		file := cmp.Or(out, "latchkey-agent-bugreport-"+now.UTC().Format("20060102-150405")+".tar.gz")
		r, err := bugreport.New(rand.Reader, names, now)
		if err != nil {
			return err
		}
		p.collect(ctx, r, f, config)
		if log != "" {
			r.File("log.txt", log)
		} else {
			r.Service(ctx, agentUnit)
		}
		if err := r.Write(file); err != nil {
			return err
		}
		return p.print(packed{file, r.Names()}, func(w io.Writer) { fmt.Fprintln(w, visible(file+": written; read it before you send it")) })
	})
	fl := cmd.Flags()
	fl.StringVar(&out, "out", "", "the file, which must not exist; by default latchkey-agent-bugreport-TIME.tar.gz here")
	fl.StringVar(&log, "log", "", "the agent's log; by default systemd's of "+agentUnit)
	fl.StringVar(&config, "config", agent.SettingsFile, "the agent's settings file")
	fl.BoolVar(&names, "names", false, "leave names of people and machines, and addresses, as they are")
	fl.StringVar(&f.root, "root", "/", "look at a copy of a machine's login stacks instead")
	fl.StringVar(&f.state, "state", agent.StateDir, "the machine's state directory")
	fl.StringVar(&f.socket, "socket", agent.LoginSocket, "where the agent answers front-ends")
	return cmd
}

// collect never fails: what cannot be had is noted, because something is broken
// where a report is made.
func (p *program) collect(ctx context.Context, r *bugreport.Report, f *pamFlags, config string) {
	r.Program("latchkey-agent", agent.Version)
	r.Machine(f.state)
	r.Folder("state.txt", f.state)
	r.Folder("run.txt", "/run/latchkey")
	r.File("agent.json.txt", config)
	knowAccounts(r, f.root)
	if s, err := agent.NewAdmin(p.admin).Status(ctx); err == nil {
		r.Scrub.Know("machine", s.Machine)
		for _, u := range s.Users {
			r.Scrub.Know("user", u.User)
		}
		r.JSON("status.json", s)
	} else {
		r.Problem("status.json", err)
	}
	if d, err := p.diagnose(ctx, f); err == nil {
		r.Scrub.Ours(d.ownWords()...)
		r.JSON("doctor.json", d)
	} else {
		r.Problem("doctor.json", err)
	}
	f.collectStacks(r)
}

// sshdMatch begins the names of doors that sshd's Match blocks make; the rest of
// such a name is of people and hosts.
const sshdMatch = "sshd, Match "

// serviceFile is what PAM's service files are called. They are in pam.txt too.
var serviceFile = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,31}$`)

// ownWords are the names of checks and doors that tell of nobody.
func (d diagnosis) ownWords() []string {
	words := []string{sshdMatch}
	for _, c := range d.Checks {
		words = append(words, c.Name) // they are constants
	}
	for _, door := range d.Doors {
		if door.Kind == "pam" && !serviceFile.MatchString(door.Name) || strings.HasPrefix(door.Name, sshdMatch) {
			continue
		}
		words = append(words, door.Name)
	}
	return words
}

// collectStacks adds what PAM makes of every service's files. Other modules'
// arguments are cut: some hold passwords.
func (f *pamFlags) collectStacks(r *bugreport.Report) {
	tree := f.tree()
	doors, err := tree.PAMDoors()
	if err != nil {
		r.Problem("pam.txt", err)
		return
	}
	var out strings.Builder
	for _, d := range doors {
		s := tree.Load(d.Name)
		fmt.Fprintf(&out, "%s (%s): %s\n", d.Name, s.File, d.State)
		for _, l := range append(append([]string{}, marked(s.Auth)...), marked(s.Account)...) {
			fmt.Fprintln(&out, "  "+plainArguments(l))
		}
	}
	r.Text("pam.txt", out.String())
}

var (
	argument = regexp.MustCompile(`(^|[\s\[])([A-Za-z_-]+)=(\[[^\]]*\]|[^\s\]]*)`)
	// harmless are arguments whose values are no secret: of ours, of controls, of
	// pam_unix, pam_faillock and pam_wheel.
	harmless = regexp.MustCompile(`^(socket|timeout|split|rescue_group|deny|unlock_time|fail_interval|retry|minlen|rounds|remember|uid|gid|group|success|default|ignore|user_unknown|new_authtok_reqd|auth_err|authinfo_unavail|maxtries|perm_denied|acct_expired)$`)
)

// plainArguments leaves the names of arguments, and the values of those that
// hold none.
func plainArguments(line string) string {
	return argument.ReplaceAllStringFunc(line, func(m string) string {
		p := argument.FindStringSubmatch(m)
		if harmless.MatchString(p[2]) {
			return m
		}
		return p[1] + p[2] + "=[value]"
	})
}

// knowAccounts tells the report of the people with accounts here.
func knowAccounts(r *bugreport.Report, root string) {
	raw, err := os.ReadFile(strings.TrimRight(root, "/") + "/etc/passwd")
	if err != nil {
		return // doctor says so
	}
	for l := range strings.Lines(string(raw)) {
		if f := strings.Split(strings.TrimSpace(l), ":"); len(f) == 7 && len(f[2]) > 3 && f[2] != "65534" {
			r.Scrub.Know("user", f[0])
			r.Scrub.Know("user", strings.Split(f[4], ",")[0])
		}
	}
}
