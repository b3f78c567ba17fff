package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"latchkey"
	"latchkey/internal/agent"
	"latchkey/internal/agent/ipc"
	"latchkey/internal/frame"
)

// errNoAgent: nobody answers on the login socket.
var errNoAgent = errors.New("the agent cannot be reached")

type loginFlags struct {
	scenario, uid, socket string
	script                bool
}

func (p *program) login() *cobra.Command {
	var f loginFlags
	cmd := verb("login USER", "Sign a user in as a terminal's front-end does, to try it out; root only", func(ctx context.Context, args []string) error {
		b, err := f.begin(args[0])
		if err != nil {
			return err
		}
		return p.sign(ctx, f, b)
	})
	fl := cmd.Flags()
	fl.StringVar(&f.scenario, "scenario", string(latchkey.Console), "console, unlock, elevate, remote or remote-client")
	fl.StringVar(&f.uid, "uid", "", "the user's uid; by default the one in /etc/passwd, or none")
	fl.BoolVar(&f.script, "script", false, "answers from standard input, one a line; a transcript on standard output")
	fl.StringVar(&f.socket, "socket", agent.LoginSocket, "where the agent answers front-ends")
	return cmd
}

// begin says who wants to log in where.
func (f loginFlags) begin(user string) (frame.Begin, error) {
	if !slices.Contains(latchkey.Scenarios, latchkey.Scenario(f.scenario)) {
		return frame.Begin{}, &usageError{fmt.Sprintf("there is no scenario %q", f.scenario), "console, unlock, elevate, remote or remote-client"}
	}
	if user == "" {
		return frame.Begin{}, &usageError{"the user has no name", ""}
	}
	b := frame.Begin{Op: frame.OpAuthenticate, Service: "latchkey-agent", User: user, Scenario: f.scenario}
	uid, err := f.number(user)
	b.UID = uid
	return b, err
}

func (f loginFlags) number(user string) (*uint32, error) {
	if f.uid != "" {
		n, err := strconv.ParseUint(f.uid, 10, 32)
		if err != nil {
			return nil, &usageError{"--uid takes a number from 0 to 4294967295", ""}
		}
		uid := uint32(n)
		return &uid, nil
	}
	account, err := ipc.Lookup("", user)
	if errors.Is(err, ipc.ErrNoAccount) {
		return nil, nil
	}
	return &account.UID, err
}

func (p *program) sign(ctx context.Context, f loginFlags, b frame.Begin) error {
	if os.Geteuid() > 0 {
		return latchkey.Errorf(latchkey.Forbidden, "only root may sign others in").WithHint("run it as root")
	}
	conn, err := ipc.Dial(ctx, f.socket)
	if errors.Is(err, ipc.ErrUntrusted) {
		return latchkey.Errorf(latchkey.Forbidden, "%s", err)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errNoAgent, err)
	}
	front := p.front(f.script)
	v, err := ipc.Converse(ctx, conn, frame.Hello{
		MinVersion: frame.OldestVersion, MaxVersion: frame.Version, Kind: "cli", Caps: frame.CapLiveInfo | frame.CapChoice,
	}, b, front)
	if errors.Is(err, ipc.ErrCancelled) {
		v = frame.Verdict{Outcome: frame.Deny, Reason: string(latchkey.Cancelled)}
	} else if err != nil {
		return err
	}
	front.verdict(v)
	if !v.Outcome.LetsIn() {
		return errNotLetIn
	}
	return nil
}
