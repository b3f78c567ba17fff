package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"strings"
	"unicode"

	"github.com/spf13/cobra"

	"latchkey"
	"latchkey/internal/httpd"
	"latchkey/internal/seal"
	"latchkey/internal/store"
)

// tokenSize is the randomness of an administrator's token in bytes.
const tokenSize = 32

func (p *program) admin() *cobra.Command {
	return p.group("admin", "Administrators; on the server's own machine, also while it runs",
		p.adminVerb("create NAME", "Create an administrator and an API token", latchkey.AdminCreated,
			func(ctx context.Context, db *store.DB, name string, hash []byte, e latchkey.Event) error {
				return db.CreateAdmin(ctx, name, store.Owner, hash, e)
			}),
		p.adminVerb("reset NAME", "Replace all tokens of an administrator by one new token", latchkey.AdminReset,
			func(ctx context.Context, db *store.DB, name string, hash []byte, e latchkey.Event) error {
				return db.ResetAdmin(ctx, name, hash, e)
			}))
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
	secret, err := seal.Token(rand.Reader, tokenSize)
	if err != nil {
		return created{}, err
	}
	authority, err := writeCA(db)
	if err != nil {
		return created{}, err
	}
	out := created{Token: httpd.TokenPrefix + secret, CA: authority}
	e := latchkey.Event{Kind: kind, Actor: "console", Detail: map[string]string{"admin": name}}
	return out, write(ctx, db, name, seal.HashToken(out.Token), e)
}
