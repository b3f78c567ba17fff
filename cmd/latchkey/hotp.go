package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
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
	if out.WaitsForLogin {
		fmt.Fprintf(p.err, "latchkey: note: its owner has not logged in on %s yet: it gets the codes once he has, with the network\n", out.Machine)
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
	var user string
	variance, back := "20%", "30d"
	var c *cobra.Command
	c = verb("hotp-size", "Say how many codes of a hardware token a machine needs, and which settings", func(ctx context.Context, _ []string) error {
		percent, err := strconv.Atoi(strings.TrimSuffix(variance, "%"))
		if err != nil {
			return usagef("--variance is a whole number of percent, such as 20%%")
		}
		if user != "" {
			if c.Flags().Changed("logins-per-day") {
				return usagef("--user counts the logins, --logins-per-day says how many there are: give one of them")
			}
			return p.sizeFor(ctx, user, back, days, percent)
		}
		plan, err := policy.PlanToken(logins, days, percent)
		if err != nil {
			return &usageError{err.Error(), "latchkey policy hotp-size --logins-per-day 15 --days 3, or --user NAME to go by what he did"}
		}
		return p.tokenPlan(plan, days)
	})
	f := c.Flags()
	f.IntVar(&logins, "logins-per-day", 0, "logins of one user on one machine")
	f.IntVar(&days, "days", 0, "days without the server; with --user the longest that there was")
	f.StringVar(&variance, "variance", variance, "reserve on top, in percent")
	f.StringVar(&user, "user", "", "count the logins of this user in the audit trail")
	f.StringVar(&back, "from-logins", back, "how far back they are counted, with --user")
	f.SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		if name == "logins" || name == "per-day" {
			name = "logins-per-day" // what people try first
		}
		return pflag.NormalizedName(name)
	})
	return c
}

func (p *program) sizes(ctx context.Context, user, back string, days, percent int) ([]api.HOTPSize, error) {
	d, err := parseDuration(back)
	if err != nil || d < 24*time.Hour {
		return nil, &usageError{fmt.Sprintf("%q is not a number of days", back), "30d"}
	}
	q := url.Values{"user": {user}, "back": {strconv.Itoa(int(d / (24 * time.Hour)))}, "days": {strconv.Itoa(days)}, "variance": {strconv.Itoa(percent)}}
	return all[api.HOTPSize](ctx, p, apiclient.Path("hotp-sizes")+"?"+q.Encode(), nil)
}

// sizeFor proposes settings for what a user did.
func (p *program) sizeFor(ctx context.Context, user, back string, days, percent int) error {
	u, err := p.oneUser(ctx, user)
	if err != nil {
		return err
	}
	rows, err := p.sizes(ctx, string(u.ID), back, days, percent)
	if err != nil {
		return err
	}
	if len(rows) == 0 {
		return latchkey.Errorf(latchkey.NotFound, "%s has no hardware token", u.Name).WithHint("latchkey authenticator add hotp %s", u.Name)
	}
	h := rows[0]
	if h.Suggested == nil {
		return latchkey.Errorf(latchkey.NotFound, "%s did not log in with a token in the last %s", u.Name, back).
			WithHint("say how often he will: latchkey policy hotp-size --logins-per-day 15 --days 3")
	}
	if n := policy.DaysNote(h.Days); n != "" {
		fmt.Fprintf(p.err, "latchkey: note: %s\n", n)
	}
	if !h.Fits {
		fmt.Fprintf(p.err, "latchkey: note: policy %s does not fit: %s\n", visible(h.Policy), h.Why)
	}
	return p.print(h, func(w io.Writer) {
		fmt.Fprintf(w, "logins  %d on %s, %s a day, %d on the busiest; %s days without the server at most\n",
			h.Logins, count(h.LoginDays, "day"), decimal(h.PerDay), h.Busiest, decimal(h.Away))
		fmt.Fprintf(w, "codes   %d, for %s\n", h.Suggested.Quota, count(h.Days, "day"))
		fmt.Fprintf(w, "policy  \"hotp\": {\"window\": %d, \"buffer\": %d, \"quota\": %d}\n", h.Suggested.Window, h.Suggested.Buffer, h.Suggested.Quota)
	})
}

func (p *program) hotpSizes() *cobra.Command {
	var asCSV bool
	var days int
	back := "30d"
	c := verb("hotp-sizes", "How people use hardware tokens, and whether their policies give enough codes", func(ctx context.Context, _ []string) error {
		if asCSV && p.json {
			return usagef("--csv and --json exclude each other")
		}
		rows, err := p.sizes(ctx, "", back, days, 20)
		if err != nil {
			return err
		}
		if asCSV {
			return sizeTable(rows, "user", "logins", "login_days", "logins_per_day", "busiest_day", "longest_offline_days", "days",
				"suggested_window", "suggested_quota", "policy", "window", "quota", "fits", "why").csv(p.out)
		}
		return p.print(rows, sizeTable(rows, "USER", "LOGINS", "ON DAYS", "A DAY", "BUSIEST", "LONGEST OFFLINE", "PLAN DAYS",
			"WINDOW", "QUOTA", "POLICY", "WINDOW NOW", "QUOTA NOW", "FITS", "WHY NOT").write)
	})
	c.Flags().BoolVar(&asCSV, "csv", false, "print CSV")
	c.Flags().StringVar(&back, "from-logins", back, "how far back logins are counted")
	c.Flags().IntVar(&days, "days", 0, "days of a trip; without it the longest that there was")
	return c
}

func sizeTable(rows []api.HOTPSize, head ...string) *table {
	t := &table{head: head}
	for _, h := range rows {
		window, quota := "", ""
		if h.Suggested != nil {
			window, quota = strconv.Itoa(h.Suggested.Window), strconv.Itoa(h.Suggested.Quota)
		}
		t.add(h.User, strconv.Itoa(h.Logins), strconv.Itoa(h.LoginDays), decimal(h.PerDay), strconv.Itoa(h.Busiest), decimal(h.Away),
			strconv.Itoa(h.Days), window, quota, h.Policy, strconv.Itoa(h.Now.Window), strconv.Itoa(h.Now.Quota), yesNo(h.Fits), h.Why)
	}
	return t
}

func decimal(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

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
