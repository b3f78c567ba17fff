//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
)

// A stage is what the lab needs to stand on: it says what went wrong and takes
// everything down again, in the reverse order of building.
type stage struct {
	failed  bool
	once    sync.Once
	mu      sync.Mutex
	tidying []func()
}

var errStory = errors.New("the story broke off")

func (s *stage) Helper()      {}
func (s *stage) Failed() bool { return s.failed }

func (s *stage) Logf(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
}

// Fatalf ends the story; main recovers and tidies up.
func (s *stage) Fatalf(format string, args ...any) {
	s.failed = true
	s.Logf(format, args...)
	panic(errStory)
}

func (s *stage) Cleanup(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tidying = append(s.tidying, f)
}

// tidy removes everything. Whoever comes second waits until it is done.
func (s *stage) tidy() {
	s.once.Do(func() {
		for {
			s.mu.Lock()
			n := len(s.tidying)
			if n == 0 {
				s.mu.Unlock()
				return
			}
			f := s.tidying[n-1]
			s.tidying = s.tidying[:n-1]
			s.mu.Unlock()
			f()
		}
	})
}

// chapter begins a part of the story.
func chapter(title string) { fmt.Printf("\n%s\n%s\n", title, strings.Repeat("-", len(title))) }

// say tells something in the story's own voice.
func say(format string, args ...any) { fmt.Printf("  "+format+"\n", args...) }

// quote shows what a program showed.
func quote(text string) {
	for line := range strings.Lines(strings.Trim(text, "\n") + "\n") {
		fmt.Print("  | " + line)
	}
}
