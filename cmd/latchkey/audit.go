package main

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"latchkey"
	"latchkey/internal/api"
	"latchkey/internal/apiclient"
	"latchkey/internal/audit"
)

func (p *program) audit() *cobra.Command {
	return p.group("audit", "Read the audit trail", p.auditList(), p.auditVerify())
}

func (p *program) auditList() *cobra.Command {
	var limit int
	var user, machine, kind, since string
	c := verb("list", "List the newest events, oldest first", func(ctx context.Context, _ []string) error {
		if limit < 1 || limit > audit.MaxLines {
			return usagef("--limit must be 1 to %d", audit.MaxLines)
		}
		q := url.Values{"limit": {strconv.Itoa(limit)}, "user": {user}, "machine": {machine}, "kind": {kind}}
		if since != "" {
			from, err := parseSince(since, now())
			if err != nil {
				return err
			}
			q.Set("since", from.Format(time.RFC3339Nano))
		}
		var all []api.Event
		if err := p.get(ctx, apiclient.Path("audit")+"?"+q.Encode(), &all, nil); err != nil {
			return err
		}
		return p.print(all, eventTable(all).write)
	})
	c.Flags().IntVar(&limit, "limit", 100, "how many events, 1 to 1000")
	c.Flags().StringVar(&user, "user", "", "only events about this user")
	c.Flags().StringVar(&machine, "machine", "", "only events about this machine")
	c.Flags().StringVar(&kind, "kind", "", "only events of this kind, for example logon")
	c.Flags().StringVar(&since, "since", "", "only events since a date, a time, or so long ago (12h, 30d)")
	return c
}

func (p *program) auditVerify() *cobra.Command {
	var d dataFlags
	c := verb("verify", "Check that the sealed audit trail is what was written", func(ctx context.Context, _ []string) error {
		v, err := p.verifyTrail(ctx, d)
		if err != nil {
			return err
		}
		return p.trailVerdict(v)
	})
	d.optional(c)
	return c
}

// verifyTrail asks the server, or with --data the directory itself: whoever
// doubts the server's program takes another one.
func (p *program) verifyTrail(ctx context.Context, d dataFlags) (api.AuditVerdict, error) {
	if d.dir == "" {
		return audit.Walk(func(after int64) (v api.AuditVerdict, err error) {
			err = p.get(ctx, apiclient.Path("audit", "verify")+"?after="+strconv.FormatInt(after, 10), &v, nil)
			return v, err
		})
	}
	db, err := d.openExisting(ctx)
	if err != nil {
		return api.AuditVerdict{}, err
	}
	defer db.Close()
	return audit.NewChain(db, audit.NotaryOf(db.Keys().Deployment, db.Ring)).VerifyAll(ctx)
}

func (p *program) trailVerdict(v api.AuditVerdict) error {
	err := p.print(v, func(w io.Writer) {
		fmt.Fprintf(w, "sealed       %d rows, %d of them verified\n", v.Sealed, v.Verified)
		fmt.Fprintf(w, "checkpoints  %d verified\n", v.Checkpoints)
		fmt.Fprintf(w, "unsealed     %d rows, the newest\n", v.Unsealed)
		fmt.Fprintf(w, "head         %d %s\n", v.Head.Position, orDash(v.Head.Hash))
	})
	if err == nil && !v.OK {
		err = latchkey.Errorf(latchkey.Conflict, "the audit trail is broken: %s", v.Broken.Detail).
			WithHint("compare the database with a backup from before; everything up to position %d is as it was written", v.Broken.Position-1)
	}
	return err
}

func parseSince(s string, now time.Time) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t.UTC(), nil
	}
	if t, err := time.Parse(time.DateOnly, s); err == nil {
		return t.UTC(), nil
	}
	d, err := parseDuration(s)
	if err != nil || d < 0 {
		return time.Time{}, &usageError{"--since is neither a date nor a duration", "2027-01-31, 2027-01-31T18:00:00Z, 12h or 30d"}
	}
	return now.Add(-d).UTC(), nil
}

func eventTable(all []api.Event) *table {
	t := &table{head: []string{"TIME", "KIND", "USER", "MACHINE", "OUTCOME", "REASON", "OFFLINE", "ACTOR"}}
	for _, e := range all {
		t.add(when(e.Time), string(e.Kind), e.User, e.Machine, string(e.Outcome), string(e.Reason), yesNo(e.Offline), e.Actor)
	}
	return t
}
