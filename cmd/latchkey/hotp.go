package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"latchkey"
	"latchkey/internal/api"
	"latchkey/internal/apiclient"
	"latchkey/internal/policy"
)

func (p *program) authenticatorLease() *cobra.Command {
	return p.group("lease", "Which machine holds the offline codes of a hardware token",
		verb("move ID MACHINE", "Let another machine hold them from its next contact on", p.leaseMove))
}

func (p *program) leaseMove(ctx context.Context, args []string) error {
	n := names{"authenticator": args[0], "machine": args[1]}
	var out api.MovedLease
	err := p.do(ctx, http.MethodPut, apiclient.Path("authenticators", args[0], "lease"), api.MoveLease{Machine: args[1]}, &out, n)
	if err != nil {
		return err
	}
	if !out.Moved {
		return p.say(out, "%s: %s has the offline codes already, until %s", args[0], out.Machine, out.Until.Format(time.RFC3339))
	}
	return p.say(out, "%s: %s holds the offline codes from its next contact on; another machine drops them at its own", args[0], out.Machine)
}

func (p *program) authenticatorResync() *cobra.Command {
	var stdin bool
	c := verb("resync ID [CODE1] [CODE2]", "Find a hardware token that ran ahead, by two consecutive codes", func(ctx context.Context, args []string) error {
		codes := args[1:]
		if stdin && len(codes) == 0 {
			raw, err := p.read("-")
			if err != nil {
				return fmt.Errorf("reading the codes: %w", err)
			}
			codes = strings.Fields(string(raw))
		}
		if len(codes) != 2 || stdin && len(args) > 1 {
			return &usageError{"two codes are needed", "press the token twice; give both codes in their order, or --stdin and one a line"}
		}
		in, out := api.Resync{Codes: codes}, api.Resynced{}
		if err := p.post(ctx, apiclient.Path("authenticators", args[0], "resync"), in, &out, names{"authenticator": args[0]}); err != nil {
			return err
		}
		return p.say(out, "%s: resynchronised", args[0])
	})
	c.Flags().BoolVar(&stdin, "stdin", false, "read the two codes from standard input")
	return c
}

func (p *program) policyTokenSize() *cobra.Command {
	var logins, days int
	variance := "20%"
	c := verb("hotp-size", "Say how many codes of a hardware token a machine needs, and which settings", func(context.Context, []string) error {
		percent, err := strconv.Atoi(strings.TrimSuffix(variance, "%"))
		if err != nil {
			return usagef("--variance is a whole number of percent, such as 20%%")
		}
		plan, err := policy.PlanToken(logins, days, percent)
		if err != nil {
			return &usageError{err.Error(), "latchkey policy hotp-size --logins-per-day 15 --days 3"}
		}
		return p.tokenPlan(plan, days)
	})
	f := c.Flags()
	f.IntVar(&logins, "logins-per-day", 0, "logins of one user on one machine")
	f.IntVar(&days, "days", 0, "days without the server")
	f.StringVar(&variance, "variance", variance, "reserve on top, in percent")
	f.SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		if name == "logins" || name == "per-day" {
			name = "logins-per-day" // what people try first
		}
		return pflag.NormalizedName(name)
	})
	return c
}

// tokenPlan proposes settings. Of a plan that no policy can have it proposes
// none, but says how much of it can be had.
func (p *program) tokenPlan(plan policy.TokenPlan, days int) error {
	if n := policy.DaysNote(days); n != "" {
		fmt.Fprintf(p.err, "latchkey: note: %s\n", n)
	}
	err := p.print(plan, func(w io.Writer) {
		if !plan.TooLarge {
			fmt.Fprintf(w, "codes   %d\n", plan.Codes)
			fmt.Fprintf(w, "policy  \"hotp\": {\"window\": %d, \"buffer\": %d, \"quota\": %d}\n", plan.Window, plan.Buffer, plan.Quota)
		}
	})
	if err != nil || !plan.TooLarge {
		return err
	}
	return latchkey.Errorf(latchkey.Invalid, "%d codes need a hotp.window of %d, and %d is the most", plan.Codes, plan.Window, policy.MaxWindow).
		WithHint("so many logins fit for %s, or as many days with %s; another kind of authenticator has no such limit", count(plan.MostDays, "day"), count(plan.MostLogins, "login")+" a day")
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
