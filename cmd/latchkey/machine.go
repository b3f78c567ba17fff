package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"latchkey"
	"latchkey/internal/api"
	"latchkey/internal/apiclient"
	"latchkey/internal/fleet"
	"latchkey/internal/manual"
)

func (p *program) machine() *cobra.Command {
	return p.group("machine", "List machines and decide whom they ask",
		verb("list", "List machines", p.machineList),
		verb("show MACHINE", "Show a machine", p.machineShow),
		verb("approve MACHINE", "Approve a pending or quarantined machine", p.machineApprove),
		verb("enforce MACHINE", "Ask everyone; nobody is waived", p.machineMode(latchkey.Enforce, "MFA enforced")),
		verb("default MACHINE", "Let the users' policies decide", p.machineMode(latchkey.Default, "the users' policies decide")),
		p.machineExempt(),
		p.machineSet(),
		verb("remove MACHINE", "Remove a machine for good", p.machineRemove),
		p.group("token", "Tokens with which machines join",
			p.tokenCreate(),
			verb("list", "List the tokens with which machines can still join", p.tokenList),
			verb("revoke ID", "End a token; machines that joined with it stay", p.tokenRevoke)))
}

func (p *program) machineList(ctx context.Context, _ []string) error {
	all, err := all[api.Machine](ctx, p, apiclient.Path("machines"), nil)
	if err != nil {
		return err
	}
	t := &table{head: []string{"NAME", "STATE", "MODE", "OS", "AGENT", "KEYS", "LAST CONTACT"}}
	for _, m := range all {
		t.add(m.Name, string(m.State), mode(m), m.OS, m.AgentVersion, string(m.KeyClass), whenever(m.LastContact))
	}
	return p.print(all, t.write)
}

func mode(m api.Machine) string {
	switch {
	case m.Mode != latchkey.Exempt:
		return string(m.Mode)
	case m.ExemptUntil == nil:
		return "exempt for good"
	}
	return "exempt until " + when(*m.ExemptUntil)
}

func (p *program) machineShow(ctx context.Context, args []string) error {
	var m api.Machine
	if err := p.get(ctx, apiclient.Path("machines", args[0]), &m, names{"machine": args[0]}); err != nil {
		return err
	}
	return p.print(m, func(w io.Writer) {
		t := &table{head: []string{"name", m.Name}}
		t.add("id", string(m.ID))
		t.add("state", string(m.State))
		t.add("mode", mode(m))
		t.add("reason", m.ExemptReason)
		t.add("unknown users", string(m.UnknownUsers))
		t.add("match local", yesNo(m.MatchLocal))
		t.add("trust on enforced", yesNo(m.TrustEnforced))
		t.add("os", m.OS)
		t.add("agent", m.AgentVersion)
		t.add("key class", string(m.KeyClass))
		t.add("last contact", whenever(m.LastContact))
		t.write(w)
	})
}

func (p *program) machineApprove(ctx context.Context, args []string) error {
	if err := p.post(ctx, apiclient.Path("machines", args[0], "approve"), nil, nil, names{"machine": args[0]}); err != nil {
		return err
	}
	return p.say(none{}, "%s: approved", args[0])
}

func (p *program) change(ctx context.Context, machine string, c api.MachineChange, format string, args ...any) error {
	var m api.Machine
	err := p.do(ctx, http.MethodPatch, apiclient.Path("machines", machine), c, &m, names{"machine": machine})
	if err != nil {
		return err
	}
	return p.say(m, "%s: %s", m.Name, fmt.Sprintf(format, args...))
}

func (p *program) machineMode(mode latchkey.Mode, done string) func(context.Context, []string) error {
	return func(ctx context.Context, args []string) error {
		return p.change(ctx, args[0], api.MachineChange{Mode: &mode}, "%s", done)
	}
}

func (p *program) machineExempt() *cobra.Command {
	var reason, until string
	c := verb("exempt MACHINE", "Ask nobody for a while; recorded and reported", func(ctx context.Context, args []string) error {
		m := latchkey.Exempt
		change := api.MachineChange{Mode: &m, Reason: &reason, ExemptUntil: &api.End{Never: until == "never"}}
		if change.ExemptUntil.Never {
			fmt.Fprintln(p.err, "latchkey: note: whoever has a password gets in there without a factor until you end it; machine list shows it as \"exempt for good\"")
			return p.change(ctx, args[0], change, "exempt for good")
		}
		end, err := parseUntil(until, now())
		if err != nil {
			return err
		}
		change.ExemptUntil.At = end
		return p.change(ctx, args[0], change, "exempt until %s", when(end))
	})
	c.Flags().StringVar(&reason, "reason", "", "why, for the audit trail")
	c.Flags().StringVar(&until, "until", "", "2027-01-31, 2027-01-31T18:00:00Z, from now: 12h, 30d, or never")
	manual.Offer(c, "until", "12h", "7d", "30d", "never")
	for _, f := range []string{"reason", "until"} {
		if err := c.MarkFlagRequired(f); err != nil {
			panic(err) // the flag is defined above
		}
	}
	return c
}

// parseUntil reads a time, a date (its end, in UTC) or a duration from now.
func parseUntil(s string, now time.Time) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t.UTC(), nil
	}
	if t, err := time.Parse(time.DateOnly, s); err == nil {
		return t.AddDate(0, 0, 1).UTC(), nil
	}
	d, err := parseDuration(s)
	if err != nil || d <= 0 {
		return time.Time{}, &usageError{fmt.Sprintf("%q is neither a date nor a duration", s), "2027-01-31, 2027-01-31T18:00:00Z, 12h or 30d"}
	}
	return now.Add(d).UTC().Truncate(time.Second), nil
}

// parseDuration also knows days.
func parseDuration(s string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		return time.Duration(n) * 24 * time.Hour, err
	}
	return time.ParseDuration(s)
}

func (p *program) machineSet() *cobra.Command {
	var unknown string
	var local, trust bool
	var c *cobra.Command
	c = verb("set MACHINE", "Change a machine's other settings", func(ctx context.Context, args []string) error {
		var change api.MachineChange
		f := c.Flags()
		if f.Changed("unknown-users") {
			v := latchkey.Fallback(unknown)
			change.UnknownUsers = &v
		}
		if f.Changed("match-local") {
			change.MatchLocal = &local
		}
		if f.Changed("trust-on-enforced") {
			change.TrustEnforced = &trust
		}
		if change == (api.MachineChange{}) {
			return &usageError{"nothing to set", "latchkey machine set --help lists the settings"}
		}
		return p.change(ctx, args[0], change, "set")
	})
	c.Flags().StringVar(&unknown, "unknown-users", "", "users whom the server does not know: deny or skip")
	c.Flags().BoolVar(&local, "match-local", false, "local accounts match users of the built-in directory by name")
	c.Flags().BoolVar(&trust, "trust-on-enforced", false, "trust-this-machine works although the machine is enforced")
	return c
}

func (p *program) machineRemove(ctx context.Context, args []string) error {
	var m api.Machine
	if err := p.get(ctx, apiclient.Path("machines", args[0]), &m, names{"machine": args[0]}); err != nil {
		return err
	}
	if err := p.confirmed(fmt.Sprintf("This removes machine %s (%s) for good: it refuses every logon from its next contact, until it enrols anew.", m.Name, m.OS)); err != nil {
		return err
	}
	if err := p.delete(ctx, apiclient.Path("machines", string(m.ID)), names{"machine": args[0]}); err != nil {
		return err
	}
	return p.say(none{}, "%s: removed", m.Name)
}

func (p *program) tokenCreate() *cobra.Command {
	var uses int
	var ttl, pattern string
	var approve bool
	c := verb("create", "Create a token with which machines join", func(ctx context.Context, _ []string) error {
		life, err := parseDuration(ttl)
		if err != nil {
			return &usageError{fmt.Sprintf("%q is not a duration", ttl), "24h or 30d"}
		}
		var made api.Token
		in := api.CreateToken{Uses: uses, TTLSeconds: int(life / time.Second), NamePattern: pattern, Approve: approve}
		if uses < 1 || uses > fleet.MaxUses || life < time.Second || life > fleet.MaxTTL {
			return usagef("--uses is 1 to %d, and --ttl up to 30d", fleet.MaxUses)
		}
		if err := p.post(ctx, apiclient.Path("machine-tokens"), in, &made, nil); err != nil {
			return err
		}
		return p.print(made, func(w io.Writer) {
			fmt.Fprintln(w, made.Token)
			fmt.Fprintf(p.err, "for %d machine(s), until %s; on the machine: latchkey-agent enroll TOKEN\n", made.Uses, when(made.ExpiresAt))
		})
	})
	c.Flags().IntVar(&uses, "uses", 1, "how many machines may join with it")
	c.Flags().StringVar(&ttl, "ttl", "24h", "how long it is good for, at most 30d")
	c.Flags().StringVar(&pattern, "name-pattern", "", "which names the machines may have: * is any run of characters, ? any one (lab-*)")
	c.Flags().BoolVar(&approve, "approve", false, "machines that join wait until machine approve")
	return c
}

func (p *program) tokenList(ctx context.Context, _ []string) error {
	all, err := all[api.MachineToken](ctx, p, apiclient.Path("machine-tokens"), nil)
	if err != nil {
		return err
	}
	t := &table{head: []string{"ID", "BY", "USES LEFT", "NAMES", "APPROVE", "EXPIRES"}}
	for _, k := range all {
		t.add(k.ID, k.CreatedBy, fmt.Sprintf("%d of %d", k.UsesLeft, k.Uses), cmp.Or(k.NamePattern, "any"), yesNo(k.Approve), when(k.ExpiresAt))
	}
	return p.print(all, t.write)
}

func (p *program) tokenRevoke(ctx context.Context, args []string) error {
	if err := p.delete(ctx, apiclient.Path("machine-tokens", args[0]), names{"token": args[0]}); err != nil {
		return err
	}
	return p.say(none{}, "%s: revoked", args[0])
}
