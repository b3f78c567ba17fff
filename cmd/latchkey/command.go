package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"latchkey"
	"latchkey/internal/apiclient"
	"latchkey/internal/manual"
)

// The exit codes.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitNotFound    = 3
	exitDenied      = 4
	exitUnreachable = 5
)

type streams struct {
	in  io.Reader
	out io.Writer // what was asked for
	err io.Writer // the rest
}

// program is one run of the command line.
type program struct {
	streams
	server, tokenFile, caFile string
	key                       string // of this command's POSTs
	posts                     int    // sent so far
	json, yes                 bool
}

// A usageError is a command line that cannot be meant.
type usageError struct {
	text, hint string
}

func (e *usageError) Error() string { return e.text }

func usagef(format string, args ...any) *usageError {
	return &usageError{text: fmt.Sprintf(format, args...)}
}

// A ranError came from a verb that ran; all others come from the parser.
type ranError struct{ error }

func (e ranError) Unwrap() error { return e.error }

func run(ctx context.Context, args []string, io streams) int {
	p := &program{streams: io}
	root := p.root()
	root.SetArgs(args)
	root.SetIn(io.in)
	root.SetOut(io.out)
	root.SetErr(io.err)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	var ran ranError
	if !errors.As(err, &ran) {
		err = &usageError{text: oneLine(err.Error()), hint: cmd.CommandPath() + " --help"}
	}
	return p.fail(err)
}

// fail words an error and returns the exit code that it stands for.
func (p *program) fail(err error) int {
	hint := hintOf(err)
	fmt.Fprintf(p.err, "latchkey: error: %s\n", visible(oneLine(err.Error())))
	if hint != "" {
		fmt.Fprintf(p.err, "latchkey: hint: %s\n", visible(hint))
	}
	return exitCode(err)
}

func hintOf(err error) string {
	if e, ok := errors.AsType[*usageError](err); ok {
		return e.hint
	}
	if errors.Is(err, apiclient.ErrUnreachable) {
		return "is the server running, and are LATCHKEY_SERVER and LATCHKEY_CA right? latchkey doctor looks closer"
	}
	if e, ok := errors.AsType[*latchkey.Error](err); ok {
		return e.Hint
	}
	return ""
}

func exitCode(err error) int {
	if _, ok := errors.AsType[*usageError](err); ok {
		return exitUsage
	}
	if errors.Is(err, apiclient.ErrUnreachable) {
		return exitUnreachable
	}
	switch latchkey.CodeOf(err) {
	case latchkey.NotFound:
		return exitNotFound
	case latchkey.Unauthorized, latchkey.Forbidden:
		return exitDenied
	}
	return exitFailed
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

func (p *program) root() *cobra.Command {
	root := p.group("latchkey", "MFA at machine login, online and offline")
	root.SilenceErrors, root.SilenceUsage = true, true
	root.Version = version
	root.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	root.CompletionOptions.HiddenDefaultCmd = true
	root.Long = root.Short + `.

Every verb asks a server through its API, but serve, admin, backup, restore and those with --data:
  LATCHKEY_SERVER or --server      its address, https://HOST:8443
  LATCHKEY_TOKEN  or --token-file  an administrator's token
  LATCHKEY_CA     or --ca          the file with the server's CA

Exit codes: 0 ok, 1 failed, 2 usage, 3 not found, 4 denied, 5 server unreachable.`
	f := root.PersistentFlags()
	f.StringVar(&p.server, "server", "", "address of the server (LATCHKEY_SERVER)")
	f.StringVar(&p.tokenFile, "token-file", "", "file with the token (LATCHKEY_TOKEN holds the token itself)")
	f.StringVar(&p.caFile, "ca", "", "file with the server's CA (LATCHKEY_CA)")
	f.BoolVar(&p.json, "json", false, "print JSON for scripts")
	f.StringVar(&p.key, "idempotency-key", "", "name this command: repeated within a day under the same key it is not carried out again")
	f.BoolVar(&p.yes, "yes", false, "do what cannot be undone")
	root.AddCommand(p.serve(), p.admin(), p.user(), p.authenticator(), p.policy(), p.machine(), p.enrollment(), p.report(),
		p.audit(), p.apiToken(), p.backup(), p.restore(), p.keys(), p.config(), p.doctor(), p.bugreport(), p.manual())
	return root
}

// group is a noun: it does nothing without a verb.
func (p *program) group(use, short string, verbs ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Args: cobra.ArbitraryArgs, RunE: func(c *cobra.Command, args []string) error {
		e := usagef("which verb?")
		if len(args) > 0 {
			e = usagef("unknown command %q", args[0])
		}
		e.hint = c.CommandPath() + " --help"
		return ranError{e}
	}}
	c.AddCommand(verbs...)
	return c
}

// verb is a command that takes the arguments that use names.
func verb(use, short string, do func(ctx context.Context, args []string) error) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Args: manual.Arguments(use), RunE: func(c *cobra.Command, args []string) error {
		if err := do(c.Context(), args); err != nil {
			return ranError{err}
		}
		return nil
	}}
}

// confirmed shows what a verb is about to do; without --yes it goes no further.
func (p *program) confirmed(plan ...string) error {
	if p.yes {
		return nil
	}
	for _, line := range plan {
		fmt.Fprintln(p.err, visible(line))
	}
	return &usageError{text: "nothing was done: this cannot be undone", hint: "add --yes to do it"}
}
