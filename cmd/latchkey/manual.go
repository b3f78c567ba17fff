package main

import (
	"context"

	"github.com/spf13/cobra"

	"latchkey/internal/manual"
)

// manual is for whoever packages the program.
func (p *program) manual() *cobra.Command {
	var c *cobra.Command
	c = verb("manual DIR", "Write manual pages and shell completions below a folder such as /usr/share", func(_ context.Context, args []string) error {
		return manual.Write(c.Root(), version, args[0])
	})
	c.Hidden = true
	return c
}
