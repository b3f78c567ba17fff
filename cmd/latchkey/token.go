package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"latchkey"
	"latchkey/internal/api"
	"latchkey/internal/apiclient"
	"latchkey/internal/manual"
)

func (p *program) apiToken() *cobra.Command {
	return p.group("token", "API tokens of your own, with less than your rights",
		p.apiTokenCreate(),
		verb("list", "List your API tokens; as owner and auditor those of all", p.apiTokenList),
		verb("revoke ID", "End an API token", p.apiTokenRevoke))
}

func (p *program) apiTokenCreate() *cobra.Command {
	var expires, label string
	var scopes []string
	c := verb("create", "Create an API token", func(ctx context.Context, _ []string) error {
		if _, err := latchkey.NamedScopes(scopes); err != nil {
			return usagef("--scope: %v", err)
		}
		in := api.CreateAPIToken{Label: label, Scopes: scopes}
		if expires != "" {
			at, err := parseUntil(expires, now())
			if err != nil {
				return err
			}
			in.ExpiresAt = &at
		}
		var made api.NewAPIToken
		if err := p.post(ctx, apiclient.Path("tokens"), in, &made, nil); err != nil {
			return err
		}
		return p.print(made, func(w io.Writer) {
			fmt.Fprintf(w, "export LATCHKEY_TOKEN=%s\n", made.Token)
			fmt.Fprintf(p.err, "The token is shown this once. Its id is %s.\n", made.ID)
		})
	})
	c.Flags().StringVar(&expires, "expires", "", "when it ends: a date, a time, or in so long (12h, 90d)")
	c.Flags().StringVar(&label, "label", "", "what it is for")
	c.Flags().StringArrayVar(&scopes, "scope", nil, "read, users, machines, policies or tokens (repeatable); without, all that you may")
	manual.Offer(c, "scope", latchkey.Scopes...)
	manual.Offer(c, "expires", "12h", "30d", "90d")
	return c
}

func (p *program) apiTokenList(ctx context.Context, _ []string) error {
	all, err := all[api.APIToken](ctx, p, apiclient.Path("tokens"), nil)
	if err != nil {
		return err
	}
	t := &table{head: []string{"ID", "ADMIN", "ROLE", "LABEL", "SCOPES", "CREATED", "EXPIRES"}}
	for _, k := range all {
		var scopes []string
		for _, s := range k.Scopes {
			scopes = append(scopes, string(s))
		}
		t.add(k.ID, k.Admin, string(k.Role), k.Label, strings.Join(scopes, " "), when(k.CreatedAt.Truncate(time.Second)), whenever(k.ExpiresAt))
	}
	return p.print(all, t.write)
}

func (p *program) apiTokenRevoke(ctx context.Context, args []string) error {
	if err := p.delete(ctx, apiclient.Path("tokens", args[0]), names{"token": args[0]}); err != nil {
		return err
	}
	return p.say(none{}, "%s: revoked", args[0])
}
