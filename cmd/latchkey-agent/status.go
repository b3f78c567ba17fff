package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"latchkey"
	"latchkey/internal/agent"
)

func (p *program) status() *cobra.Command {
	return verb("status", "Say how the agent is and what this machine could do offline", func(ctx context.Context, _ []string) error {
		s, err := agent.NewAdmin(p.admin).Status(ctx)
		if err != nil {
			return err
		}
		return p.print(s, func(w io.Writer) { describe(w, s) })
	})
}

func (p *program) sync() *cobra.Command {
	return verb("sync", "Report to the server and fetch what is new, now", func(ctx context.Context, _ []string) error {
		s, err := agent.NewAdmin(p.admin).Sync(ctx)
		if err != nil {
			return err
		}
		return p.print(s, func(w io.Writer) { fmt.Fprintln(w, visible(s.Machine+": synced with "+s.Server)) })
	})
}

func (p *program) offline() *cobra.Command {
	return verb("offline USER", "Say what a user could do here while the server cannot be reached", func(ctx context.Context, args []string) error {
		u, err := agent.NewAdmin(p.admin).Offline(ctx, args[0])
		if err != nil {
			return err
		}
		return p.print(u, func(w io.Writer) { describeUser(w, u) })
	})
}

func describe(w io.Writer, s agent.Status) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, value string) { fmt.Fprintf(t, "%s\t%s\n", name, visible(value)) }
	row("machine", s.Machine)
	row("server", s.Server)
	row("online", yesNo(s.Online))
	row("last sync", when(s.LastSyncAt))
	row("mode", string(s.Mode))
	row("key class", string(s.KeyClass))
	row("events to report", strconv.Itoa(s.PendingEvents))
	for _, n := range notes(s) {
		row(n[0], n[1])
	}
	_ = t.Flush()
	if len(s.Users) == 0 {
		return
	}
	fmt.Fprintln(w)
	t = tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "USER\tOFFLINE LOGINS LEFT\tVALID UNTIL\tAUTHENTICATORS\tNOTE")
	for _, u := range s.Users {
		fmt.Fprintln(t, strings.TrimRight(strings.Join([]string{
			visible(u.User), left(u), when(u.ValidUntil), kinds(u.Authenticators), noteOf(u),
		}, "\t"), "\t "))
	}
	_ = t.Flush()
}

// notes are what is not as it should be.
func notes(s agent.Status) [][2]string {
	var all [][2]string
	add := func(on bool, name, text string) {
		if on {
			all = append(all, [2]string{name, text})
		}
	}
	add(s.State != "" && s.State != latchkey.Active, "state", string(s.State))
	add(s.Problem != "", "problem", s.Problem)
	add(s.Settings != "", "settings", s.Settings)
	add(s.LostEvents > 0, "events lost", strconv.FormatUint(s.LostEvents, 10))
	add(s.ClockBehind, "clock", "behind the time that is proven: codes of an app are refused offline")
	add(s.Corrupt, "records", "were lost: nobody can log in offline until the next contact")
	var names []string
	for name := range s.Alarms {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		add(true, "alarm", fmt.Sprintf("%s (%d times since the start)", name, s.Alarms[name]))
	}
	return all
}

func describeUser(w io.Writer, u agent.User) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "user\t%s\noffline logins left\t%s\nvalid until\t%s\nauthenticators\t%s\n",
		visible(u.User), left(u), when(u.ValidUntil), kinds(u.Authenticators))
	for _, c := range u.Tokens {
		fmt.Fprintf(t, "codes left\t%d of token %s\n", c.CodesLeft, visible(cmp.Or(c.Label, string(c.ID))))
	}
	fmt.Fprintf(t, "ready\t%s\n", yesNo(u.Ready))
	if !u.Ready {
		fmt.Fprintf(t, "why not\t%s\n", u.NotReady)
	}
	if n := noteOf(u); n != "-" {
		fmt.Fprintf(t, "note\t%s\n", n)
	}
	_ = t.Flush()
}

func left(u agent.User) string {
	switch {
	case u.LoginsLeft != nil:
		return strconv.Itoa(*u.LoginsLeft)
	case u.ValidUntil != nil:
		return "not counted"
	}
	return "none"
}

func kinds(all []latchkey.Kind) string {
	var texts []string
	for _, k := range all {
		texts = append(texts, string(k))
	}
	if len(texts) == 0 {
		return "-"
	}
	return strings.Join(texts, ", ")
}

func noteOf(u agent.User) string {
	switch {
	case u.Denied != "":
		return "denied: " + string(u.Denied)
	case u.Locked:
		return "locked"
	case !u.Enrolled:
		return "not enrolled for offline login here"
	case !u.Ready:
		return u.NotReady
	}
	return "-"
}

func when(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
