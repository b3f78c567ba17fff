//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"latchkey"
	"latchkey/internal/agent/ipc"
	"latchkey/internal/frame"
	"latchkey/internal/logon"
)

const typedCode = "135790"

func TestALoginAtATerminalIsCancelledAtOnce(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		typed, key string
		sig        os.Signal
	}{
		"by Ctrl-C":                         {key: "\x03"},
		"by Ctrl-C behind half a code":      {typed: typedCode, key: "\x03"},
		"by Ctrl-D":                         {key: "\x04"},
		"by Ctrl-D behind a code taken off": {typed: typedCode + "\x15", key: "\x04"},
		"by SIGTERM":                        {sig: syscall.SIGTERM},
		"by SIGTERM behind half a code":     {typed: typedCode, sig: syscall.SIGTERM},
		"by SIGINT":                         {sig: syscall.SIGINT},
		"by SIGHUP behind half a code":      {typed: typedCode, sig: syscall.SIGHUP},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := atTerminal(t).asked(frame.Secret)
			if s.echoes() {
				t.Fatal("it echoes")
			}
			s.types(tc.typed)
			s.press(tc.key)
			if tc.sig != nil {
				s.signal(tc.sig)
			}
			s.hears(frame.TypeCancel)
			s.exits(exitDenied)
			s.shows("One-time code: \ndeny cancelled\n")
			s.clean(typedCode)
		})
	}
}

func TestALoginIsCancelledWhileTheAgentThinks(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(s *sitting){
		"by Ctrl-C":  func(s *sitting) { s.press(typedCode + "\x03") },
		"by SIGTERM": func(s *sitting) { s.types(typedCode); s.signal(syscall.SIGTERM) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := atTerminal(t).answered()
			end(s)
			s.hears(frame.TypeCancel)
			s.exits(exitDenied)
			s.shows("deny cancelled\n")
			s.clean(typedCode)
		})
	}
}

func TestAScriptIsCancelledAtOnce(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(s *sitting){
		"by SIGTERM": func(s *sitting) { s.signal(syscall.SIGTERM) },
		"by SIGINT":  func(s *sitting) { s.signal(syscall.SIGINT) },
		"by SIGTERM behind half a line": func(s *sitting) {
			s.press(typedCode)
			s.signal(syscall.SIGTERM)
		},
		"by EOF":                 func(s *sitting) { s.must(s.person.Close()) },
		"by EOF in a line":       func(s *sitting) { s.press(typedCode); s.must(s.person.Close()) },
		"by a line without end":  func(s *sitting) { s.press(strings.Repeat("1", maxAnswer+1)) },
		"by a line over VALUE's": func(s *sitting) { s.press(strings.Repeat("1", maxAnswer+1) + "\n") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := inScript(t).asked(frame.Secret)
			end(s)
			s.hears(frame.TypeCancel)
			s.exits(exitDenied)
			if got := s.out.String(); got != "< ASK secret One-time code\n< VERDICT deny cancelled\n" {
				t.Errorf("transcript:\n%s", got)
			}
		})
	}
}

func TestTheAgentsLastWordComesWhileAnAnswerIsAwaited(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		end        func(s *sitting)
		code       int
		transcript string // behind the question
		screen     string
	}{
		"a denial": {
			func(s *sitting) { s.says(frame.Verdict{Outcome: frame.Deny, Reason: "cancelled", Text: "Cancelled."}) },
			exitDenied, "< VERDICT deny cancelled\n",
			"The login is over: no answer is awaited any more.\nCancelled.\n",
		},
		"an allowance": { // the question whether to trust the machine may expire
			func(s *sitting) {
				s.says(frame.Verdict{Outcome: frame.Allow, Reason: "verified_online", Text: "Welcome."})
			},
			exitOK, "< VERDICT allow verified_online\n",
			"The login is over: no answer is awaited any more.\nWelcome.\n",
		},
		"the end of the connection": {
			func(s *sitting) { s.must(s.agent.Close()) },
			exitUnreachable, "",
			"latchkey-agent: error: the agent does not answer: it hung up while an answer was awaited: EOF\nlatchkey-agent: hint: is the agent running?",
		},
		"nonsense": {
			func(s *sitting) { s.says(frame.Ask{ID: 2, Kind: frame.Secret, Label: "Another"}) },
			exitUnreachable, "",
			"latchkey-agent: error: the agent does not answer: frame.Ask out of place\n",
		},
	} {
		t.Run(name+" at a terminal", func(t *testing.T) {
			t.Parallel()
			s := atTerminal(t).asked(frame.Secret)
			s.types(typedCode)
			tc.end(s)
			s.exits(tc.code)
			s.shows("One-time code: \n" + tc.screen)
			s.clean(typedCode)
		})
		t.Run(name+" in a script", func(t *testing.T) {
			t.Parallel()
			s := inScript(t).asked(frame.Secret)
			tc.end(s)
			s.exits(tc.code)
			if got := s.out.String(); got != "< ASK secret One-time code\n"+tc.transcript {
				t.Errorf("transcript:\n%s", got)
			}
		})
	}
}

func TestALiveAgentDoesNotEndAQuestion(t *testing.T) {
	t.Parallel()
	s := atTerminal(t).answered()
	s.types("1357") // ahead of the question
	s.says(frame.Ask{ID: 7, Kind: frame.Secret, Label: "One-time code"})
	s.shows("One-time code: ")
	s.says(frame.Tick{})
	s.says(frame.Say{Text: "Still here."})
	s.shows("Still here.\n")
	s.press("90x\x7f\r")
	m, err := frame.Parse(s.hears(frame.TypeAnswer))
	if a, ok := m.(frame.Answer); err != nil || !ok || a.ID != 7 || string(a.Value) != "135790" {
		t.Errorf("answer %+v, %v", m, err)
	}
	s.says(frame.Verdict{Outcome: frame.Allow, Reason: "verified_online"})
	s.exits(exitOK)
	s.clean("1357")
}

func TestWhatIsNoSecretIsShownAsItIsTyped(t *testing.T) {
	t.Parallel()
	s := atTerminal(t).asked(frame.Text)
	s.press("room 7\r")
	s.hears(frame.TypeAnswer)
	s.shows("One-time code: room 7\n")
	s.says(frame.Verdict{Outcome: frame.Allow, Reason: "verified_online"})
	s.exits(exitOK)
	s.clean("")
}

// slow is an agent's side that lets the question expire.
type slow struct{ desk }

func (slow) Logon(ctx context.Context, s logon.Screen, _ latchkey.Logon) latchkey.Verdict {
	_, err := s.Ask(ctx, latchkey.Prompt{ID: 1, Kind: latchkey.AskSecret, Label: "One-time code", Expires: 50 * time.Millisecond})
	if err == nil {
		return latchkey.Verdict{}
	}
	v := latchkey.DenyVerdict(latchkey.Cancelled)
	v.Text = logon.Sentence(v, time.Now())
	return v
}

func TestAQuestionThatExpiresEndsTheLogin(t *testing.T) {
	t.Parallel()
	s := atTerminal(t)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	server := &ipc.Server{Handler: slow{}, Log: slog.New(slog.DiscardHandler), Now: time.Now}
	go func() { _ = server.Serve(ctx, s.listener) }()
	s.exits(exitDenied)
	s.shows("One-time code: \nThe login is over: no answer is awaited any more.\nCancelled.")
	s.clean("")
}

// A program that cannot write its last words is stuck.
func TestTheSecondInterruptEndsTheProcess(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		interrupt func(s *sitting)
		times     int // the system may take two signals that come together for one
	}{
		"of the keyboard": {func(s *sitting) { s.press("\x03") }, 1},
		"of somebody":     {func(s *sitting) { _ = s.cmd.Process.Signal(syscall.SIGINT) }, 100},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := sit(t)
			s.open()
			s.cmd.Stdin, s.cmd.Stdout, s.cmd.Stderr = s.tty, s.tty, fullPipe(t)
			s.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
			s.start()
			s.asked(frame.Secret)
			tc.interrupt(s)
			s.hears(frame.TypeCancel)
			s.until("giving the echo back", s.echoes)
			for range tc.times {
				tc.interrupt(s)
				if s.endsWithin(50 * time.Millisecond) {
					break
				}
			}
			s.exits(-1)
			status, ok := s.cmd.ProcessState.Sys().(syscall.WaitStatus)
			if !ok || status.Signal() != syscall.SIGINT {
				t.Errorf("it ended with %v", s.cmd.ProcessState)
			}
			s.clean("")
		})
	}
}

func fullPipe(t *testing.T) *os.File {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = w.Close(), r.Close() })
	_ = w.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
	if _, err := w.Write(make([]byte, 1<<20)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("filling a pipe: %v", err)
	}
	return w
}

// broken is a screen that nobody can write to.
type broken struct{}

func (broken) Write([]byte) (int, error) { panic("broken") }

func TestAPanicGivesTheTerminalBack(t *testing.T) {
	t.Parallel()
	s := sit(t)
	s.open()
	raw, failed := make(chan bool, 1), make(chan any, 1)
	go func() {
		defer func() { failed <- recover() }()
		execute(context.Background(), s.args(), streams{s.tty, broken{}, &s.err})
	}()
	s.answered()
	raw <- !s.echoes()
	s.says(frame.Ask{ID: 1, Kind: frame.Secret, Label: "One-time code"})
	if p := <-failed; fmt.Sprint(p) != "broken" || !<-raw {
		t.Fatalf("no panic with the echo off: %v", p)
	}
	if !s.echoes() {
		t.Error("the terminal is left without echo")
	}
}

func TestKeysMakeAnAnswer(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("1", maxAnswer)
	for name, tc := range map[string]struct{ keys, value, echo string }{
		"letters":                            {"y", "y", "y"},
		"the last one taken back":            {"ab\x7f\x08c", "c", "ab\b \b\b \bc"},
		"more taken back than there was":     {"a\x7f\x7fb", "b", "a\b \bb"},
		"a letter of two bytes taken back":   {"aß\x7f", "a", "aß\b \b"},
		"all taken back":                     {"ab\x15c", "c", "ab\b \b\b \bc"},
		"keys without a letter":              {"\x1b\t\x1a\x1c\x04a", "a", "a"},
		"as much as an answer may be":        {long + "2", long, long},
		"as much as that, with the last new": {long + "2\x7f3", long[1:] + "3", long + "\b \b3"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			value, echo := make([]byte, 0, maxAnswer), &bytes.Buffer{}
			for i := range len(tc.keys) {
				value = edit(value, tc.keys[i], echo)
			}
			if string(value) != tc.value || echo.String() != tc.echo {
				t.Errorf("value %q, echo %q", value, echo)
			}
			if rest := value[len(value):cap(value)]; len(bytes.Trim(rest, "\x00")) > 0 {
				t.Error("what was taken back is still in the buffer")
			}
		})
	}
}

// closed is a front whose person never answers.
type closed struct {
	front
	told bool
}

func (c *closed) Ask(ctx context.Context, _ frame.Ask) ([]byte, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}
func (c *closed) over() { c.told = true }

func TestTheTimeOfALoginIsUpAtAPrompt(t *testing.T) {
	t.Parallel()
	near, far := net.Pipe()
	defer far.Close()
	f := &closed{}
	w := &watcher{front: f, wire: newWire(near)}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.Ask(ctx, frame.Ask{}); err == nil || w.lost != nil || w.last != nil || !f.told {
		t.Errorf("%v, %+v, told %v", err, w, f.told)
	}
}
