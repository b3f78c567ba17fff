package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"latchkey/internal/agent"
)

// maxToken bounds what is read of a file with a token.
const maxToken = 64 << 10

func (p *program) enroll() *cobra.Command {
	var j agent.Join
	var file string
	cmd := verb("enroll [TOKEN]", "Join this machine to a server", func(ctx context.Context, args []string) error {
		var err error
		if j.Token, err = p.token(args, file); err != nil {
			return err
		}
		if j.Name == "" {
			if j.Name, err = os.Hostname(); err != nil {
				return fmt.Errorf("asking for this machine's name: %w", err)
			}
		}
		joined, err := agent.Enroll(ctx, j)
		if err != nil {
			return err
		}
		return p.print(joined, func(w io.Writer) {
			fmt.Fprintln(w, visible(joined.Machine+": enrolled with "+joined.Server))
			if joined.Pending {
				fmt.Fprintln(w, visible("an administrator must approve of it: latchkey machine approve "+joined.Machine))
			}
		})
	})
	f := cmd.Flags()
	f.StringVar(&file, "token-file", "", "read the token from this file (- reads standard input): on the command line every user could read it")
	f.StringVar(&j.State, "state", agent.StateDir, "the machine's state directory; its owner will own all that is in it")
	f.StringVar(&j.Name, "name", "", "what administrators see the machine called; by default its host name")
	return cmd
}

// token is given in one of three ways.
func (p *program) token(args []string, file string) (string, error) {
	if (len(args) == 1) == (file != "") {
		return "", &usageError{"a token is needed, as an argument or in a file", "make one with: latchkey machine token create; then: latchkey-agent enroll --token-file FILE"}
	}
	if file == "" {
		return args[0], nil
	}
	in := p.in
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return "", fmt.Errorf("reading the token: %w", err)
		}
		defer f.Close()
		in = f
	}
	raw, err := io.ReadAll(io.LimitReader(in, maxToken))
	if err != nil {
		return "", fmt.Errorf("reading the token: %w", err)
	}
	return strings.TrimSpace(string(raw)), nil
}
