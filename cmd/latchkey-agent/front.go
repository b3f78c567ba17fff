package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
	"unicode/utf8"

	"golang.org/x/term"

	"latchkey/internal/agent/ipc"
	"latchkey/internal/frame"
)

// A front is what a person or a script sees of a login. Its Ask returns as soon
// as ctx ends, whatever is typed or not.
type front interface {
	ipc.Front
	// over: the login ended although an answer was awaited.
	over()
	verdict(v frame.Verdict)
	// close gives the terminal back as it was found. It may be called by
	// anybody, at any time, more than once.
	close()
}

// front is the one that fits the streams. interrupt is called when somebody at
// a terminal presses Ctrl-C.
func (p *program) front(script bool, interrupt func()) (front, error) {
	if script {
		return &transcript{in: p.in, out: p.out, err: p.err}, nil
	}
	t := &terminal{in: p.in, out: p.out, err: p.err}
	if f, ok := p.in.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		c, err := openConsole(f, interrupt)
		if err != nil {
			return nil, err
		}
		t.console, t.out = c, lines{p.out}
	}
	return t, nil
}

// maxAnswer is how long an answer may be (docs/formats/lklp.md, VALUE). Buffers
// of this size never move, so that wiping them leaves no copy behind.
const maxAnswer = 512

var (
	errNoMore  = errors.New("no more answers")
	errTooLong = errors.New("the answer is too long")
)

// typed reads one line of in, byte by byte and none beyond it. Nobody can end a
// read: when ctx ends first, the reader stays behind with at most one byte.
func typed(ctx context.Context, in io.Reader) <-chan byte {
	keys := make(chan byte)
	go func() {
		defer close(keys)
		var b [1]byte
		defer clear(b[:])
		for b[0] != '\n' {
			if _, err := io.ReadFull(in, b[:]); err != nil {
				return
			}
			select {
			case keys <- b[0]:
			case <-ctx.Done():
				return
			}
		}
	}()
	return keys
}

// press waits for the next key.
func press(ctx context.Context, keys <-chan byte) (byte, error) {
	select {
	case <-ctx.Done():
		return 0, ctx.Err()
	case k, ok := <-keys:
		if !ok {
			return 0, errNoMore
		}
		return k, nil
	}
}

// line takes one answer as it comes. EOF cancels, also in the middle of a line:
// half an answer is none.
func line(ctx context.Context, in io.Reader) ([]byte, error) {
	keys := typed(ctx, in)
	value := make([]byte, 0, maxAnswer)
	for {
		k, err := press(ctx, keys)
		if err == nil && k == '\n' {
			return bytes.TrimRight(value, "\r"), nil
		}
		if err == nil && len(value) == cap(value) {
			err = errTooLong
		}
		if err != nil {
			clear(value)
			return nil, err
		}
		value = append(value, k)
	}
}

// A console is a person's terminal, which shows nothing by itself for as long
// as the login lasts: not at a prompt, and not what is typed ahead of one. All
// keys come here, so that none is left for the shell; Ctrl-C is one of them, and
// no key can end the program with the terminal in this state.
type console struct {
	fd     int
	before *term.State
	once   sync.Once
	keys   chan byte
}

const (
	ctrlC     = 0x03
	ctrlD     = 0x04
	backspace = 0x08
	ctrlU     = 0x15
	del       = 0x7f

	typedAhead = 256 // keys that are kept until somebody asks
)

func openConsole(f *os.File, interrupt func()) (*console, error) {
	c := &console{fd: int(f.Fd()), keys: make(chan byte, typedAhead)}
	var err error
	if c.before, err = term.MakeRaw(c.fd); err != nil {
		return nil, fmt.Errorf("switching the terminal's echo off: %w", err)
	}
	go c.listen(f, interrupt)
	return c, nil
}

// listen takes the keys until the terminal is gone, or Ctrl-C is pressed: from
// then on the terminal is itself again, and the next Ctrl-C ends the process.
func (c *console) listen(in io.Reader, interrupt func()) {
	defer c.close()
	defer close(c.keys)
	var b [1]byte
	for {
		if _, err := io.ReadFull(in, b[:]); err != nil {
			return
		}
		if b[0] == ctrlC {
			c.close()
			signal.Reset(os.Interrupt)
			interrupt()
			return
		}
		select {
		case c.keys <- b[0]:
		default:
		}
		clear(b[:])
	}
}

func (c *console) close() { c.once.Do(func() { _ = term.Restore(c.fd, c.before) }) }

// line lets a person type an answer, which echo shows. Ctrl-D cancels where
// nothing is typed yet.
func (c *console) line(ctx context.Context, echo io.Writer) ([]byte, error) {
	value := make([]byte, 0, maxAnswer)
	for {
		k, err := press(ctx, c.keys)
		if err == nil && k == ctrlD && len(value) == 0 {
			err = errNoMore
		}
		if err != nil {
			clear(value)
			return nil, err
		}
		if k == '\r' || k == '\n' {
			return value, nil
		}
		value = edit(value, k, echo)
	}
}

// edit is what one key makes of an answer.
func edit(value []byte, k byte, echo io.Writer) []byte {
	switch {
	case k == del || k == backspace:
		return rub(value, echo)
	case k == ctrlU:
		for len(value) > 0 {
			value = rub(value, echo)
		}
	case k >= ' ' && len(value) < cap(value):
		value = append(value, k)
		_, _ = echo.Write(value[len(value)-1:])
	}
	return value
}

// rub takes the last character away.
func rub(value []byte, echo io.Writer) []byte {
	if len(value) == 0 {
		return value
	}
	_, size := utf8.DecodeLastRune(value)
	left := len(value) - size
	clear(value[left:])
	_, _ = io.WriteString(echo, "\b \b")
	return value[:left]
}

// lines writes to a console, which does not go back to the left edge by itself.
type lines struct{ io.Writer }

func (l lines) Write(b []byte) (int, error) {
	_, err := l.Writer.Write(bytes.ReplaceAll(b, []byte("\n"), []byte("\r\n")))
	return len(b), err
}

// A transcript is the screen of a script: what the agent says behind <, what
// was answered behind >, secrets as so many asterisks however long they are.
type transcript struct {
	in       io.Reader
	out, err io.Writer
}

const mask = "******"

func (t *transcript) Ask(ctx context.Context, a frame.Ask) ([]byte, error) {
	fmt.Fprintf(t.out, "< ASK %s %s\n", a.Kind, visible(a.Label))
	for i, c := range a.Choices {
		fmt.Fprintf(t.out, "<   %d %s %s\n", i+1, visible(c.ID), visible(c.Label))
	}
	value, err := line(ctx, t.in)
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

func (t *transcript) over()  {}
func (t *transcript) close() {}

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
	in       io.Reader
	out, err io.Writer
	console  *console // nil where the answers come from a file or a pipe
}

func (t *terminal) Ask(ctx context.Context, a frame.Ask) ([]byte, error) {
	for i, c := range a.Choices {
		fmt.Fprintf(t.out, "  %d  %s\n", i+1, visible(c.Label))
	}
	label := visible(a.Label)
	if a.Kind == frame.Confirm {
		label += " [y/N]"
	}
	fmt.Fprintf(t.out, "%s: ", label)
	value, err := t.line(ctx, a.Kind)
	if t.console != nil || err != nil {
		fmt.Fprintln(t.out)
	}
	return value, err
}

func (t *terminal) line(ctx context.Context, k frame.Kind) ([]byte, error) {
	if t.console == nil {
		return line(ctx, t.in)
	}
	echo := t.out
	if k == frame.Secret {
		echo = io.Discard
	}
	return t.console.line(ctx, echo)
}

func (t *terminal) Say(s frame.Say) {
	for l := range strings.SplitSeq(s.Text, "\n") {
		fmt.Fprintln(t.out, visible(l))
	}
}

func (t *terminal) over() {
	t.close()
	fmt.Fprintln(t.err, "The login is over: no answer is awaited any more.")
}

func (t *terminal) close() {
	if t.console != nil {
		t.console.close()
	}
}

func (t *terminal) verdict(v frame.Verdict) {
	if v.Text == "" {
		fmt.Fprintf(t.err, "%s %s\n", v.Outcome, v.Reason)
	}
	word(t.err, v)
}
