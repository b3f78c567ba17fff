package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"latchkey"
	"latchkey/internal/api"
	"latchkey/internal/apiclient"
	"latchkey/internal/manual"
)

func (p *program) policy() *cobra.Command {
	return p.group("policy", "Set, show, delete and explain policies",
		p.policySet(),
		p.policyShow(),
		verb("list", "List policies in the order in which they are tried", p.policyList),
		verb("delete NAME", "Delete a policy", p.policyDelete),
		p.policyExplain(), p.policyTokenSize())
}

func (p *program) policySet() *cobra.Command {
	var file, tag string
	c := verb("set", "Merge policy documents from a file, by name", func(ctx context.Context, _ []string) error {
		if file == "" {
			return &usageError{"no file is given", "latchkey policy set -f FILE; - reads standard input"}
		}
		document, err := p.read(file)
		if err != nil {
			return fmt.Errorf("reading the policy: %w", err)
		}
		if !json.Valid(document) {
			return latchkey.Errorf(latchkey.Invalid, "%s is not JSON", file)
		}
		set, err := p.mergePolicies(ctx, document, tag)
		if err != nil {
			return err
		}
		for _, n := range set.Notes {
			fmt.Fprintf(p.err, "latchkey: note: %s\n", visible(n))
		}
		return p.print(set.Policies, func(w io.Writer) {
			for _, set := range set.Policies {
				fmt.Fprintf(w, "%s: set\n", visible(set.Name))
			}
		})
	})
	c.Flags().StringVarP(&file, "file", "f", "", "a policy document or a list of them; - reads standard input")
	c.Flags().StringVar(&tag, "if-match", "", "set only what is still as it was: the tag from policy show --tag")
	return c
}

// mergePolicies sends what was read with it: a change that somebody else makes
// in between is a conflict, and not overwritten.
func (p *program) mergePolicies(ctx context.Context, document []byte, tag string) (set api.PoliciesSet, err error) {
	if tag == "" {
		var now []latchkey.Policy
		header, err := p.send(ctx, apiclient.Request{Method: http.MethodGet, Path: apiclient.Path("policies"), Out: &now}, nil)
		if err != nil {
			return set, err
		}
		tag = header.Get("ETag")
	}
	_, err = p.send(ctx, apiclient.Request{
		Method: http.MethodPost, Path: apiclient.Path("policies"), In: json.RawMessage(document), Out: &set, IfMatch: tag,
	}, nil)
	return set, err
}

func (p *program) policyShow() *cobra.Command {
	var tagOnly bool
	c := verb("show NAME", "Show a policy document", func(ctx context.Context, args []string) error {
		one, tag, err := p.onePolicy(ctx, args[0])
		if err != nil {
			return err
		}
		if tagOnly {
			return p.print(map[string]string{"name": one.Name, "tag": tag}, func(w io.Writer) { fmt.Fprintln(w, tag) })
		}
		p.json = true // the document is JSON for people too: it is what policy set takes
		return p.print(one, nil)
	})
	c.Flags().BoolVar(&tagOnly, "tag", false, "print the tag of the policy as it is now, for policy set --if-match")
	return c
}

func (p *program) onePolicy(ctx context.Context, name string) (one latchkey.Policy, tag string, err error) {
	header, err := p.send(ctx, apiclient.Request{Method: http.MethodGet, Path: apiclient.Path("policies", name), Out: &one}, names{"policy": name})
	return one, header.Get("ETag"), err
}

func (p *program) policyList(ctx context.Context, _ []string) error {
	all, err := all[latchkey.Policy](ctx, p, apiclient.Path("policies"), nil)
	if err != nil {
		return err
	}
	t := &table{head: []string{"NAME", "PRIORITY", "USERS", "FACTORS", "OFFLINE"}}
	for _, one := range all {
		t.add(one.Name, strconv.Itoa(one.Priority), subjects(one.Users), factors(one.Factors.Required, one.Factors.Online), offline(one))
	}
	return p.print(all, t.write)
}

func subjects(s latchkey.Subjects) string {
	if s.All {
		return "all"
	}
	return strings.Join(s.Names, ", ")
}

func factors(required int, listed []latchkey.Kind) string {
	return fmt.Sprintf("%d of %s", required, kinds(listed))
}

func offline(one latchkey.Policy) string {
	if !one.Offline.Enabled {
		return "off"
	}
	days, logins := "days of the key class", "logins not counted"
	if one.Offline.Days != nil {
		days = fmt.Sprintf("%d days", *one.Offline.Days)
	}
	if one.Offline.Logins != nil {
		logins = fmt.Sprintf("%d logins", *one.Offline.Logins)
	}
	return days + ", " + logins
}

func (p *program) policyDelete(ctx context.Context, args []string) error {
	one, tag, err := p.onePolicy(ctx, args[0])
	if err != nil {
		return err
	}
	if err := p.confirmed(fmt.Sprintf("This deletes policy %s; its users (%s) get the next policy that matches.", one.Name, subjects(one.Users))); err != nil {
		return err
	}
	r := apiclient.Request{Method: http.MethodDelete, Path: apiclient.Path("policies", args[0]), IfMatch: tag}
	if _, err := p.send(ctx, r, names{"policy": args[0]}); err != nil {
		return err
	}
	return p.say(none{}, "%s: deleted", one.Name)
}

func (p *program) policyExplain() *cobra.Command {
	scenario := string(latchkey.Console)
	var offlineOnly bool
	c := verb("explain USER MACHINE", "Say what a logon would meet now, and why", func(ctx context.Context, args []string) error {
		if !slices.Contains(latchkey.Scenarios, latchkey.Scenario(scenario)) {
			return &usageError{"there is no such scenario", "the scenarios are console, unlock, elevate, remote and remote-client"}
		}
		q := url.Values{"user": {args[0]}, "machine": {args[1]}, "scenario": {scenario}}
		var x api.Explained
		if err := p.get(ctx, apiclient.Path("explain")+"?"+q.Encode(), &x, names{"user": args[0], "machine": args[1]}); err != nil {
			return err
		}
		return p.print(x, func(w io.Writer) { explain(w, x, offlineOnly) })
	})
	c.Flags().StringVar(&scenario, "scenario", scenario, "console, unlock, elevate, remote or remote-client")
	manual.Offer(c, "scenario", latchkey.Scenarios...)
	c.Flags().BoolVar(&offlineOnly, "offline", false, "only what happens without the server; --json has both")
	return c
}

func explain(w io.Writer, x api.Explained, offlineOnly bool) {
	fmt.Fprintf(w, "policy   %s\n", visible(orDash(x.Policy)))
	if !offlineOnly {
		fmt.Fprintf(w, "online   %s\n", explanation(x.Online, x.Rows))
	}
	fmt.Fprintf(w, "offline  %s\n", explanation(x.Offline, x.Rows))
	for _, n := range x.Notes {
		fmt.Fprintf(w, "note     %s\n", visible(n))
	}
}

func explanation(e api.Explanation, rows []api.ExplainedRow) string {
	text := e.Outcome
	for _, k := range e.Ask {
		text += " " + string(k)
	}
	if e.Reason != "" {
		text += " " + string(e.Reason)
	}
	for _, r := range rows {
		if r.Row == e.Row {
			text += fmt.Sprintf(" (row %d: %s)", r.Row, r.State)
		}
	}
	return visible(text)
}
