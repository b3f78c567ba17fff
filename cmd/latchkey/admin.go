package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"latchkey"
	"latchkey/internal/httpd"
	"latchkey/internal/manual"
	"latchkey/internal/store"
)

func (p *program) admin() *cobra.Command {
	role := string(latchkey.Owner)
	create := p.adminVerb("create NAME", "Create an administrator and an API token", latchkey.AdminCreated,
		func(ctx context.Context, db *store.DB, name string, hash []byte, e latchkey.Event) error {
			r, err := latchkey.ParseRole(role)
			if err != nil {
				return &usageError{err.Error(), ""}
			}
			e.Detail["role"] = role
			return db.CreateAdmin(ctx, name, r, hash, e)
		})
	create.Flags().StringVar(&role, "role", role, "owner, admin, helpdesk or auditor")
	manual.Offer(create, "role", latchkey.Roles...)
	return p.group("admin", "Administrators; on the server's own machine, also while it runs",
		create,
		p.adminVerb("reset NAME", "Replace all tokens of an administrator by one new token", latchkey.AdminReset,
			p.resetAdmin),
		p.adminList(), p.adminDisable())
}

// resetAdmin says where it lets somebody in again whom somebody shut out.
func (p *program) resetAdmin(ctx context.Context, db *store.DB, name string, hash []byte, e latchkey.Event) error {
	all, err := db.Admins(ctx)
	if err != nil {
		return err
	}
	out := slices.ContainsFunc(all, func(a latchkey.Admin) bool {
		return a.Disabled && latchkey.FoldName(a.Name) == latchkey.FoldName(name)
	})
	if out {
		e.Detail["was"] = "disabled"
	}
	err = db.ResetAdmin(ctx, name, hash, e)
	if err == nil && out {
		fmt.Fprintln(p.err, visible(fmt.Sprintf("latchkey: note: %s was disabled, and may use the API again with this token", name)))
	}
	return err
}

// listed is an administrator in the JSON of admin list.
type listed struct {
	Name      string        `json:"name"`
	Role      latchkey.Role `json:"role"`
	Disabled  bool          `json:"disabled"`
	CreatedAt time.Time     `json:"created_at"`
}

func (p *program) adminList() *cobra.Command {
	var d dataFlags
	c := verb("list", "List administrators", func(ctx context.Context, _ []string) error {
		db, err := d.openExisting(ctx)
		if err != nil {
			return err
		}
		defer db.Close()
		all, err := db.Admins(ctx)
		if err != nil {
			return err
		}
		out, t := []listed{}, &table{head: []string{"NAME", "ROLE", "DISABLED", "CREATED"}}
		for _, a := range all {
			out = append(out, listed{a.Name, a.Role, a.Disabled, a.CreatedAt})
			t.add(a.Name, string(a.Role), yesNo(a.Disabled), when(a.CreatedAt))
		}
		return p.print(out, t.write)
	})
	d.add(c)
	return c
}

func (p *program) adminDisable() *cobra.Command {
	var d dataFlags
	c := verb("disable NAME", "End all tokens of an administrator; admin reset lets him in again", func(ctx context.Context, args []string) error {
		db, err := d.openExisting(ctx)
		if err != nil {
			return err
		}
		defer db.Close()
		e := latchkey.Event{Kind: latchkey.AdminDisabled, Actor: "console", Detail: map[string]string{"admin": args[0]}}
		if err := db.DisableAdmin(ctx, args[0], e); err != nil {
			return named(err, names{"administrator": args[0]})
		}
		return p.say(none{}, "%s: disabled", args[0])
	})
	d.add(c)
	return c
}

// created is the JSON of both verbs.
type created struct {
	Token string `json:"token"`
	CA    string `json:"ca"` // a file's path
}

type writeAdmin func(ctx context.Context, db *store.DB, name string, hash []byte, e latchkey.Event) error

func (p *program) adminVerb(use, short string, kind latchkey.EventKind, write writeAdmin) *cobra.Command {
	var d dataFlags
	c := verb(use, short, func(ctx context.Context, args []string) error {
		if err := latchkey.CheckName(args[0]); err != nil {
			return err
		}
		db, err := d.open(ctx)
		if err != nil {
			return err
		}
		defer db.Close()
		out, err := newToken(ctx, db, args[0], kind, write)
		if err != nil {
			return named(err, names{"administrator": args[0]})
		}
		return p.print(out, func(w io.Writer) {
			fmt.Fprintf(w, "export LATCHKEY_TOKEN=%s\nexport LATCHKEY_CA=%s\n", out.Token, quoted(out.CA))
			fmt.Fprintf(p.err, "The token is shown this once. LATCHKEY_SERVER is the address that latchkey serve prints.\n")
		})
	})
	d.add(c)
	return c
}

// quoted is a path as a shell takes it for one word.
func quoted(path string) string {
	plain := func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("/._-", r) }
	if !strings.ContainsFunc(path, func(r rune) bool { return !plain(r) }) {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}

func newToken(ctx context.Context, db *store.DB, name string, kind latchkey.EventKind, write writeAdmin) (created, error) {
	token, hash, err := httpd.NewAdminToken()
	if err != nil {
		return created{}, err
	}
	authority, err := writeCA(db)
	if err != nil {
		return created{}, err
	}
	out := created{Token: token, CA: authority}
	e := latchkey.Event{Kind: kind, Actor: "console", Detail: map[string]string{"admin": name}}
	return out, write(ctx, db, name, hash, e)
}
