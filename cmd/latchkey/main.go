// Command latchkey is the server (serve) and the administrator's command line:
// everything but serve and admin asks a running server through its API.
//
// It refuses to prompt: what cannot be undone shows its plan and needs --yes.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() { os.Exit(Main()) }

// Main runs the program on the process's arguments, streams and environment
// and returns its exit code. It ends early, but in order, on SIGINT and SIGTERM.
func Main() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return run(ctx, os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr})
}
