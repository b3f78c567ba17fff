package pam

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/internal/frame"
)

// An agent plays a script to every front-end that connects. It stands in for
// the real one because what is under test here is the module: also when the
// agent breaks the protocol, which the real one never does.
type agent struct {
	t      *testing.T
	dir    string
	Socket string
	listen net.Listener
	wait   sync.WaitGroup

	mu    sync.Mutex
	seen  []string // what front-ends sent, values of answers included
	begun []frame.Begin
}

// play serves each connection with script until the test ends.
func play(t *testing.T, script func(*peer)) *agent {
	t.Helper()
	dir, err := os.MkdirTemp("", "lk") // short: a socket path has 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	a := &agent{t: t, dir: dir, Socket: filepath.Join(dir, "login.sock")}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if script == nil { // no agent at all
		return a
	}
	l, err := net.Listen("unix", a.Socket)
	a.listen = l
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(a.Socket, 0o666); err != nil {
		t.Fatal(err)
	}
	a.wait.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			a.wait.Go(func() { a.serve(c, script) })
		}
	})
	t.Cleanup(a.end)
	return a
}

func (a *agent) end() {
	a.listen.Close()
	a.wait.Wait()
}

func (a *agent) serve(c net.Conn, script func(*peer)) {
	defer c.Close()
	c.SetDeadline(time.Now().Add(100 * time.Second)) // a broken test must not hang for ever
	p := &peer{agent: a, c: c}
	if p.greet() {
		script(p)
	}
}

// Seen waits for all connections to end and returns what arrived.
func (a *agent) Seen() string {
	a.end()
	a.mu.Lock()
	defer a.mu.Unlock()
	return strings.Join(a.seen, " ")
}

// Begun returns the nth BEGIN, from 0.
func (a *agent) Begun(n int) frame.Begin {
	a.t.Helper()
	a.end()
	a.mu.Lock()
	defer a.mu.Unlock()
	if n >= len(a.begun) {
		a.t.Fatalf("only %d connections began", len(a.begun))
	}
	return a.begun[n]
}

func (a *agent) note(what string) {
	a.mu.Lock()
	a.seen = append(a.seen, what)
	a.mu.Unlock()
}

// A peer is one connection of a front-end.
type peer struct {
	*agent
	c     net.Conn
	Hello frame.Hello
	Begin frame.Begin
}

func (p *peer) greet() bool {
	hello, err := frame.Receive(p.c)
	if err != nil {
		p.note("no HELLO")
		return false
	}
	begin, err := frame.Receive(p.c)
	if err != nil {
		p.note("no BEGIN")
		return false
	}
	var ok1, ok2 bool
	p.Hello, ok1 = hello.(frame.Hello)
	p.Begin, ok2 = begin.(frame.Begin)
	if !ok1 || !ok2 {
		p.t.Errorf("opened with %T and %T", hello, begin)
	}
	p.mu.Lock()
	p.begun = append(p.begun, p.Begin)
	p.mu.Unlock()
	return ok1 && ok2
}

// Send ignores errors: the front-end may be gone, which the test sees elsewhere.
func (p *peer) Send(messages ...frame.Message) {
	for _, m := range messages {
		frame.Send(p.c, m)
	}
}

func (p *peer) Raw(b ...byte) { p.c.Write(b) }

// Ask sends a question and returns the answer, "CANCEL" or "EOF".
func (p *peer) Ask(a frame.Ask) string {
	p.Send(a)
	return p.Next()
}

// Next returns what the front-end sends next.
func (p *peer) Next() string {
	m, err := frame.Receive(p.c)
	got := "EOF"
	switch m := m.(type) {
	case frame.Answer:
		got = string(m.Value)
	case frame.Cancel:
		got = "CANCEL"
	default:
		if !errors.Is(err, io.EOF) {
			got = "BROKEN"
		}
	}
	p.note(got)
	return got
}

// Code asks for a one-time code and judges it.
func (p *peer) Code(text string, right string) {
	switch p.Ask(frame.Ask{ID: 1, Kind: frame.Secret, Label: "One-time code"}) {
	case "CANCEL", "EOF":
	case right:
		p.Send(frame.Verdict{Outcome: frame.Allow, Reason: "verified_online", Text: text, EventID: "event-1"})
	default:
		p.Send(frame.Verdict{Reason: "wrong_code", Text: "That code is not right."})
	}
}

func verdict(v frame.Verdict) func(*peer) {
	return func(p *peer) { p.Send(frame.Tick{Version: 1}, v) }
}
