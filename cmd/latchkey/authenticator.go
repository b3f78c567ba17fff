package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"latchkey"
	"latchkey/internal/api"
	"latchkey/internal/apiclient"
	"latchkey/internal/otp"
)

func (p *program) authenticator() *cobra.Command {
	add := p.group("add", "Give a user an authenticator",
		p.addOTP(latchkey.TOTP, "totp USER", "Add an app that shows a code every 30 seconds"),
		p.addOTP(latchkey.HOTP, "hotp USER", "Add a token that shows a code at the press of a button"))
	return p.group("authenticator", "Add, list, repair and remove what users prove themselves with",
		add,
		verb("list USER", "List a user's authenticators", p.authenticatorList),
		verb("remove USER ID", "Remove an authenticator for good", p.authenticatorRemove),
		p.authenticatorResync(), p.authenticatorLease())
}

func (p *program) addOTP(kind latchkey.Kind, use, short string) *cobra.Command {
	in := api.AddAuthenticator{Kind: kind}
	var secretFile, uriFile string
	var c *cobra.Command
	c = verb(use, short, func(ctx context.Context, args []string) error {
		err := checkOTP(c, in)
		if err != nil {
			return err
		}
		if in.Secret, err = p.readSecret(secretFile); err != nil {
			return fmt.Errorf("reading the secret: %w", err)
		}
		if in.URI, err = p.readSecret(uriFile); err != nil {
			return fmt.Errorf("reading the address: %w", err)
		}
		var made api.NewAuthenticator
		err = p.post(ctx, apiclient.Path("users", args[0], "authenticators"), in, &made, names{"user": args[0]})
		if err != nil {
			return err
		}
		return p.showNew(made, secretFile+uriFile != "")
	})
	f := c.Flags()
	f.StringVar(&in.Label, "label", "", "what the user sees it called")
	f.StringVar(&in.Algorithm, "algorithm", "", "SHA1 (the default), SHA256 or SHA512")
	f.IntVar(&in.Digits, "digits", 0, "digits of a code, 6 to 8; 6 by default")
	f.StringVar(&secretFile, "secret-file", "", "import the base32 secret in this file (- reads standard input)")
	f.StringVar(&uriFile, "uri-file", "", "import the otpauth:// address in this file (- reads standard input)")
	if kind == latchkey.HOTP {
		f.Uint64Var(&in.Counter, "counter", 0, "counter of the next code")
	} else {
		f.IntVar(&in.Period, "period", 0, "seconds that a code is shown; 30 by default")
	}
	c.MarkFlagsMutuallyExclusive("secret-file", "uri-file")
	return c
}

// checkOTP refuses values that no token has, before any file is read.
func checkOTP(c *cobra.Command, in api.AddAuthenticator) error {
	given := c.Flags().Changed
	if given("algorithm") {
		if _, err := otp.ParseAlgorithm(in.Algorithm); err != nil {
			return usagef("--algorithm is SHA1, SHA256 or SHA512")
		}
	}
	if given("digits") && (in.Digits < otp.MinDigits || in.Digits > otp.MaxDigits) {
		return usagef("--digits is %d to %d", otp.MinDigits, otp.MaxDigits)
	}
	if given("period") && (in.Period < otp.MinPeriod || in.Period > otp.MaxPeriod) {
		return usagef("--period is %d to %d seconds", otp.MinPeriod, otp.MaxPeriod)
	}
	return nil
}

// readSecret reads a secret from a file: on the command line every user of the
// machine could read it.
func (p *program) readSecret(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	raw, err := p.read(path)
	if err != nil {
		return "", err
	}
	s := strings.TrimSpace(string(raw))
	if s == "" {
		return "", latchkey.Errorf(latchkey.Invalid, "the file is empty")
	}
	return s, nil
}

// showNew prints the address and a QR code to scan. The owner of an imported
// key has it already: it is not shown again.
func (p *program) showNew(made api.NewAuthenticator, imported bool) error {
	return p.print(made, func(w io.Writer) {
		fmt.Fprintln(p.err, visible("added "+string(made.ID)))
		if imported {
			return
		}
		fmt.Fprintln(w, made.URI)
		drawQR(w, made.URI)
	})
}

func (p *program) authenticatorList(ctx context.Context, args []string) error {
	var all []api.Authenticator
	if err := p.get(ctx, apiclient.Path("users", args[0], "authenticators"), &all, names{"user": args[0]}); err != nil {
		return err
	}
	return p.print(all, authenticatorTable(all).write)
}

func authenticatorTable(all []api.Authenticator) *table {
	t := &table{head: []string{"ID", "KIND", "LABEL", "ALGORITHM", "DIGITS", "PERIOD", "LAST USED", "OFFLINE CODES"}}
	for _, a := range all {
		t.add(string(a.ID), string(a.Kind), a.Label, a.Algorithm, number(a.Digits), number(a.Period), whenever(a.LastUsed), lease(a.Lease))
	}
	return t
}

// lease is where a hardware token's codes may lie, and until when that holds.
func lease(l *api.Lease) string {
	if l == nil {
		return ""
	}
	return l.Machine + " until " + when(l.Until)
}

func number(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func (p *program) authenticatorRemove(ctx context.Context, args []string) error {
	n := names{"user": args[0], "authenticator": args[1]}
	if err := p.delete(ctx, apiclient.Path("users", args[0], "authenticators", args[1]), n); err != nil {
		return err
	}
	return p.say(none{}, "%s: authenticator %s removed", args[0], args[1])
}
