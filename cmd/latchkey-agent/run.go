package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"latchkey/internal/agent"
)

func (p *program) run() *cobra.Command {
	var c agent.RunConfig
	var tpm, fido string
	cmd := verb("run", "Run the agent", func(ctx context.Context, _ []string) error {
		for flag, value := range map[string]string{"--tpm": tpm, "--fido": fido} {
			if value != "" {
				return &usageError{flag + " is not in this version", "start the agent without it: keys are files, and security keys are asked for online only"}
			}
		}
		c.Level = &slog.LevelVar{}
		c.Log, c.Admin = slog.New(slog.NewJSONHandler(p.err, &slog.HandlerOptions{Level: c.Level})), p.admin
		reload := make(chan os.Signal, 1)
		signal.Notify(reload, syscall.SIGHUP)
		defer signal.Stop(reload)
		c.Reload = reload
		if err := resumeRevert(c.State); err != nil {
			c.Log.Error("an unconfirmed change of the login stacks could not be taken back", "error", err)
		}
		return agent.Run(ctx, c)
	})
	f := cmd.Flags()
	f.StringVar(&c.State, "state", agent.StateDir, "the machine's state directory")
	f.StringVar(&c.Login, "socket", agent.LoginSocket, "where front-ends ask; systemd's socket of the name login comes first")
	f.StringVar(&c.Settings, "config", agent.SettingsFile, "settings that SIGHUP reads again; need not exist")
	f.StringVar(&c.User, "user", "", "make the sockets as root, then be this user")
	f.StringVar(&tpm, "tpm", "", "a TPM for the machine's keys (not in this version)")
	f.StringVar(&fido, "fido", "", "a security key (not in this version)")
	return cmd
}
