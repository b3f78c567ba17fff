package main

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"latchkey"
	"latchkey/internal/api"
	"latchkey/internal/apiclient"
)

func (p *program) enrollment() *cobra.Command {
	return p.group("enrollment", "Who can log in offline where",
		p.enrollmentList("list", "List offline enrollments"),
		verb("disenroll USER [MACHINE]", "End a user's offline logons on a machine, or on all", p.disenroll))
}

func (p *program) report() *cobra.Command {
	return p.group("report", "Reports on the whole fleet",
		p.enrollmentList("offline-enrollments", "Who can log in offline where, until when"),
		p.hotpSizes())
}

func (p *program) enrollmentList(use, short string) *cobra.Command {
	var asCSV bool
	c := verb(use, short, func(ctx context.Context, _ []string) error {
		var all []api.Enrollment
		if err := p.enrollments(ctx, "", "", &all); err != nil {
			return err
		}
		if asCSV && p.json {
			return usagef("--csv and --json exclude each other")
		}
		if asCSV {
			return enrollmentTable(all, "user", "machine", "enrolled_at", "last_synced_at", "logins_left", "valid_until", "pending", "authenticators", "ready", "not_ready").csv(p.out)
		}
		return p.print(all, enrollmentTable(all, "USER", "MACHINE", "ENROLLED", "LAST SYNC", "LOGINS LEFT", "VALID UNTIL", "PENDING", "AUTHENTICATORS", "READY", "WHY NOT").write)
	})
	c.Flags().BoolVar(&asCSV, "csv", false, "print CSV")
	return c
}

func (p *program) enrollments(ctx context.Context, user, machine string, out *[]api.Enrollment) error {
	q := url.Values{"user": {user}, "machine": {machine}}
	rows, err := all[api.Enrollment](ctx, p, apiclient.Path("enrollments")+"?"+q.Encode(), nil)
	*out = rows
	return err
}

func enrollmentTable(all []api.Enrollment, head ...string) *table {
	t := &table{head: head}
	for _, e := range all {
		left := "not counted"
		if e.LoginsLeft != nil {
			left = strconv.Itoa(*e.LoginsLeft)
		}
		t.add(e.User, e.Machine, when(e.EnrolledAt), whenever(e.LastSynced), left, whenever(e.ValidUntil), e.Pending,
			kinds(e.Authenticators), yesNo(e.Ready), e.NotReady)
	}
	return t
}

func kinds(all []latchkey.Kind) string {
	var names []string
	for _, k := range all {
		names = append(names, string(k))
	}
	return strings.Join(names, " ")
}

func (p *program) disenroll(ctx context.Context, args []string) error {
	u, err := p.oneUser(ctx, args[0])
	if err != nil {
		return err
	}
	machine := ""
	if len(args) == 2 {
		machine = args[1]
	}
	var on []api.Enrollment
	if err := p.enrollments(ctx, string(u.ID), machine, &on); err != nil {
		return err
	}
	if len(on) == 0 {
		return latchkey.Errorf(latchkey.NotFound, "%s is not enrolled for offline logons there", u.Name).WithHint("latchkey enrollment list shows who is")
	}
	if err := p.confirmSeveral(u.Name, on); err != nil {
		return err
	}
	for _, e := range on {
		if err := p.delete(ctx, apiclient.Path("enrollments", string(u.ID), e.Machine), names{"user": args[0], "machine": e.Machine}); err != nil {
			return fmt.Errorf("%s on %s: %w", u.Name, e.Machine, err)
		}
	}
	return p.say(none{}, "%s: disenrolled on %d machine(s); each wipes what it holds at its next contact", u.Name, len(on))
}

// confirmSeveral: ending one is undone by the next online login, ending many
// takes their owner's way in wherever he is.
func (p *program) confirmSeveral(user string, on []api.Enrollment) error {
	if len(on) < 2 {
		return nil
	}
	plan := []string{fmt.Sprintf("This ends the offline logons of %s on %d machines:", user, len(on))}
	for _, e := range on {
		plan = append(plan, "  "+e.Machine)
	}
	return p.confirmed(plan...)
}
