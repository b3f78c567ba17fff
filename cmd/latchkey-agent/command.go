package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"

	"github.com/spf13/cobra"

	"latchkey"
	"latchkey/internal/agent"
	"latchkey/internal/agent/ipc"
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
	json  bool
	admin string
}

// A usageError is a command line that cannot be meant.
type usageError struct{ text, hint string }

func (e *usageError) Error() string { return e.text }

// A ranError came from a verb that ran; all others come from the parser.
type ranError struct{ error }

func (e ranError) Unwrap() error { return e.error }

// errNotLetIn: the verdict of a login was no. It has been shown already.
var errNotLetIn = errors.New("not let in")

func execute(ctx context.Context, args []string, io streams) int {
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
	if errors.Is(err, errNotLetIn) {
		return exitDenied
	}
	fmt.Fprintf(p.err, "latchkey-agent: error: %s\n", visible(oneLine(err.Error())))
	if hint := hintOf(err); hint != "" {
		fmt.Fprintf(p.err, "latchkey-agent: hint: %s\n", visible(oneLine(hint)))
	}
	return exitCode(err)
}

func hintOf(err error) string {
	if e, ok := errors.AsType[*usageError](err); ok {
		return e.hint
	}
	if e, ok := errors.AsType[*latchkey.Error](err); ok {
		return e.Hint
	}
	switch {
	case errors.Is(err, agent.ErrServer):
		return "is the server running, and does the network lead there?"
	case errors.Is(err, agent.ErrNotRunning), errors.Is(err, ipc.ErrSilent):
		return "is the agent running? Only root may ask it"
	}
	return ""
}

func exitCode(err error) int {
	if _, ok := errors.AsType[*usageError](err); ok {
		return exitUsage
	}
	for _, e := range []error{agent.ErrServer, agent.ErrNotRunning, ipc.ErrSilent, errNoAgent} {
		if errors.Is(err, e) {
			return exitUnreachable
		}
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

// visible writes what cannot be printed as an escape: texts and names may come
// from somebody who wants to move the cursor.
func visible(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return s
	}
	q := strconv.QuoteToGraphic(s)
	return strings.NewReplacer(`\"`, `"`).Replace(q[1 : len(q)-1])
}

func (p *program) root() *cobra.Command {
	root := &cobra.Command{
		Use: "latchkey-agent", Short: "MFA at machine login, online and offline: the machine's side",
		Args: cobra.ArbitraryArgs, SilenceErrors: true, SilenceUsage: true,
		RunE: func(c *cobra.Command, args []string) error {
			text := "which verb?"
			if len(args) > 0 {
				text = fmt.Sprintf("unknown command %q", args[0])
			}
			return ranError{&usageError{text, c.CommandPath() + " --help"}}
		},
	}
	root.Long = root.Short + `.

Exit codes: 0 ok, 1 failed, 2 usage, 3 not found, 4 denied, 5 server or agent unreachable.
login ends with 0 only where the user was let in.`
	root.Version = agent.Version
	root.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	root.CompletionOptions.HiddenDefaultCmd = true
	f := root.PersistentFlags()
	f.BoolVar(&p.json, "json", false, "print JSON for scripts")
	f.StringVar(&p.admin, "admin-socket", agent.AdminSocket, "where the agent answers root")
	root.AddCommand(p.run(), p.enroll(), p.login(), p.status(), p.sync(), p.offline(), p.doctor(), p.pam(), p.config(), p.bugreport(), p.manual())
	return root
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

// print writes v as JSON where scripts asked for it, else what text writes.
func (p *program) print(v any, text func(w io.Writer)) error {
	if !p.json {
		text(p.out)
		return nil
	}
	e := json.NewEncoder(p.out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
