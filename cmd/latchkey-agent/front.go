package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"latchkey/internal/agent/ipc"
	"latchkey/internal/frame"
)

// A front is what a person or a script sees of a login.
type front interface {
	ipc.Front
	verdict(frame.Verdict)
}

func (p *program) front(script bool) front {
	in := bufio.NewReader(p.in)
	if script {
		return &transcript{in: in, out: p.out, err: p.err}
	}
	return &terminal{in: in, out: p.out, err: p.err, tty: terminalOf(p.in)}
}

// terminalOf is the descriptor of a terminal, or -1.
func terminalOf(in io.Reader) int {
	if f, ok := in.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return int(f.Fd())
	}
	return -1
}

// line reads one answer. EOF cancels, also in the middle of a line: half an
// answer is none.
func line(in *bufio.Reader) ([]byte, error) {
	text, err := in.ReadBytes('\n')
	if err != nil {
		clear(text)
		return nil, errors.New("no more answers")
	}
	return []byte(strings.TrimRight(string(text), "\r\n")), nil
}

// A transcript is the screen of a script: what the agent says behind <, what
// was answered behind >, secrets as so many asterisks however long they are.
type transcript struct {
	in       *bufio.Reader
	out, err io.Writer
}

const mask = "******"

func (t *transcript) Ask(_ context.Context, a frame.Ask) ([]byte, error) {
	fmt.Fprintf(t.out, "< ASK %s %s\n", a.Kind, visible(a.Label))
	for i, c := range a.Choices {
		fmt.Fprintf(t.out, "<   %d %s %s\n", i+1, visible(c.ID), visible(c.Label))
	}
	value, err := line(t.in)
	if err != nil {
		return nil, err
	}
	shown := mask
	if a.Kind != frame.Secret {
		shown = visible(string(value))
	}
	fmt.Fprintf(t.out, "> %s\n", shown)
	return value, nil
}

func (t *transcript) Say(s frame.Say) {
	for l := range strings.SplitSeq(s.Text, "\n") {
		fmt.Fprintf(t.out, "< SAY %s\n", visible(l))
	}
}

func (t *transcript) verdict(v frame.Verdict) {
	fmt.Fprintln(t.out, strings.TrimSpace(fmt.Sprintf("< VERDICT %s %s", v.Outcome, v.Reason)))
	word(t.err, v)
}

// word tells a person what the verdict means.
func word(w io.Writer, v frame.Verdict) {
	for l := range strings.SplitSeq(v.Text, "\n") {
		if l != "" {
			fmt.Fprintln(w, visible(l))
		}
	}
}

// A terminal is the screen of a person.
type terminal struct {
	in       *bufio.Reader
	out, err io.Writer
	tty      int // -1 where there is none
}

func (t *terminal) Ask(_ context.Context, a frame.Ask) ([]byte, error) {
	for i, c := range a.Choices {
		fmt.Fprintf(t.out, "  %d  %s\n", i+1, visible(c.Label))
	}
	label := visible(a.Label)
	if a.Kind == frame.Confirm {
		label += " [y/N]"
	}
	fmt.Fprintf(t.out, "%s: ", label)
	if a.Kind != frame.Secret || t.tty < 0 {
		return line(t.in)
	}
	value, err := term.ReadPassword(t.tty)
	fmt.Fprintln(t.out)
	return value, err
}

func (t *terminal) Say(s frame.Say) {
	for l := range strings.SplitSeq(s.Text, "\n") {
		fmt.Fprintln(t.out, visible(l))
	}
}

func (t *terminal) verdict(v frame.Verdict) {
	if v.Text == "" {
		fmt.Fprintf(t.err, "%s %s\n", v.Outcome, v.Reason)
	}
	word(t.err, v)
}
