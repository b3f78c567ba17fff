//go:build linux

// Command demo shows Latchkey on real components: its programs, sshd, the
// network of two namespaces. `make demo` tells the story of a laptop that
// travels; `make up` leaves the same world standing to be explored.
//
// It touches nothing of the machine it runs on and leaves nothing behind.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	verbs := map[string]func(*stage){"story": story, "explore": explore}
	if len(os.Args) != 2 || verbs[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: demo story|explore")
		os.Exit(2)
	}
	s := &stage{}
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		<-ended
		s.tidy()
		os.Exit(130)
	}()
	os.Exit(run(s, verbs[os.Args[1]]))
}

func run(s *stage, verb func(*stage)) (code int) {
	defer s.tidy()
	defer func() {
		if broke := recover(); broke == errStory {
			code = 1
		} else if broke != nil {
			panic(broke)
		}
	}()
	verb(s)
	return 0
}
