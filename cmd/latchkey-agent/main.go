// Command latchkey-agent is a machine's agent (run), the way to join it to a
// server (enroll), a front-end for a terminal (login), and the questions that
// root may ask a running agent (status, sync, offline).
//
// It refuses to decide anything itself: login is a front-end like any other,
// and the daemon does what the packages below it decide.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() { os.Exit(Main()) }

// Main runs the program on the process's arguments, streams and environment
// and returns its exit code. It ends early, but in order, on SIGINT and SIGTERM;
// a second SIGINT ends it on the spot.
func Main() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, func() { signal.Reset(os.Interrupt) })
	return execute(ctx, os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr})
}
