package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"latchkey/internal/agent"
)

func (p *program) config() *cobra.Command {
	var file string
	check := verb("check", "Check the settings file as the agent would read it", func(context.Context, []string) error {
		s, err := agent.ReadSettings(file)
		if err != nil {
			return err
		}
		return p.print(s, func(w io.Writer) { fmt.Fprintln(w, "ok") })
	})
	check.Flags().StringVar(&file, "config", agent.SettingsFile, "the settings file; one that is not there is fine")
	noun := &cobra.Command{
		Use: "config", Short: "Check the machine's settings file",
		Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
			return ranError{&usageError{"which verb?", c.CommandPath() + " --help"}}
		},
	}
	noun.AddCommand(check)
	return noun
}
