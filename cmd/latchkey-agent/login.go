package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"latchkey"
	"latchkey/internal/agent"
	"latchkey/internal/agent/ipc"
	"latchkey/internal/frame"
	"latchkey/internal/manual"
)

// errNoAgent: nobody answers on the login socket.
var errNoAgent = errors.New("the agent cannot be reached")

type loginFlags struct {
	scenario, uid, socket string
	script                bool
}

func (p *program) login() *cobra.Command {
	var f loginFlags
	cmd := verb("login USER", "Sign a user in as a terminal's front-end does, to try it out; root only", func(ctx context.Context, args []string) error {
		b, err := f.begin(args[0])
		if err != nil {
			return err
		}
		return p.sign(ctx, f, b)
	})
	fl := cmd.Flags()
	fl.StringVar(&f.scenario, "scenario", string(latchkey.Console), "console, unlock, elevate, remote or remote-client")
	manual.Offer(cmd, "scenario", latchkey.Scenarios...)
	fl.StringVar(&f.uid, "uid", "", "the user's uid; by default the one in /etc/passwd, or none")
	fl.BoolVar(&f.script, "script", false, "answers from standard input, one a line; a transcript on standard output")
	fl.StringVar(&f.socket, "socket", agent.LoginSocket, "where the agent answers front-ends")
	return cmd
}

// begin says who wants to log in where.
func (f loginFlags) begin(user string) (frame.Begin, error) {
	if !slices.Contains(latchkey.Scenarios, latchkey.Scenario(f.scenario)) {
		return frame.Begin{}, &usageError{fmt.Sprintf("there is no scenario %q", f.scenario), "console, unlock, elevate, remote or remote-client"}
	}
	if user == "" {
		return frame.Begin{}, &usageError{"the user has no name", ""}
	}
	b := frame.Begin{Op: frame.OpAuthenticate, Service: "latchkey-agent", User: user, Scenario: f.scenario}
	uid, err := f.number(user)
	b.UID = uid
	return b, err
}

func (f loginFlags) number(user string) (*uint32, error) {
	if f.uid != "" {
		n, err := strconv.ParseUint(f.uid, 10, 32)
		if err != nil {
			return nil, &usageError{"--uid takes a number from 0 to 4294967295", ""}
		}
		uid := uint32(n)
		return &uid, nil
	}
	account, err := ipc.Lookup("", user)
	if errors.Is(err, ipc.ErrNoAccount) {
		return nil, nil
	}
	return &account.UID, err
}

func (p *program) sign(ctx context.Context, f loginFlags, b frame.Begin) error {
	if os.Geteuid() > 0 {
		return latchkey.Errorf(latchkey.Forbidden, "only root may sign others in").WithHint("run it as root")
	}
	ctx, cancel := signal.NotifyContext(ctx, syscall.SIGHUP) // which must not leave a terminal without echo either
	defer cancel()
	front, err := p.front(f.script, cancel)
	if err != nil {
		return err
	}
	defer front.close() // in a panic too
	v, err := converse(ctx, f.socket, b, front)
	front.close()
	if errors.Is(err, ipc.ErrCancelled) {
		v = frame.Verdict{Outcome: frame.Deny, Reason: string(latchkey.Cancelled)}
	} else if err != nil {
		return err
	}
	front.verdict(v)
	if !v.Outcome.LetsIn() {
		return errNotLetIn
	}
	return nil
}

// converse carries one login. When ctx ends, it is cancelled.
func converse(ctx context.Context, socket string, b frame.Begin, f front) (frame.Verdict, error) {
	v, err := exchange(ctx, socket, b, f)
	if err != nil && ctx.Err() != nil {
		err = ipc.ErrCancelled // whatever its end looked like
	}
	return v, err
}

func exchange(ctx context.Context, socket string, b frame.Begin, f front) (frame.Verdict, error) {
	conn, err := ipc.Dial(ctx, socket)
	if errors.Is(err, ipc.ErrUntrusted) {
		return frame.Verdict{}, latchkey.Errorf(latchkey.Forbidden, "%s", err)
	}
	if err != nil {
		return frame.Verdict{}, fmt.Errorf("%w: %w", errNoAgent, err)
	}
	w := &watcher{front: f, wire: newWire(conn)}
	defer context.AfterFunc(ctx, func() {
		f.close() // first: what follows may take time
		w.wire.hangUp()
	})()
	v, err := ipc.Converse(context.WithoutCancel(ctx), w.wire, frame.Hello{
		MinVersion: frame.OldestVersion, MaxVersion: frame.Version, Kind: "cli", Caps: frame.CapLiveInfo | frame.CapChoice,
	}, b, w)
	switch {
	case w.last != nil:
		f.over()
		return *w.last, nil
	case w.lost != nil:
		return frame.Verdict{}, w.lost
	}
	return v, err
}

// headerSize is the length in front of a frame.
const headerSize = 4

// A wire is the connection to the agent. It can wait for a frame and be called
// off without having taken half of one.
type wire struct {
	net.Conn
	in *bufio.Reader
}

func newWire(conn net.Conn) wire {
	return wire{conn, bufio.NewReaderSize(conn, headerSize+frame.MaxLength)}
}

func (w wire) Read(b []byte) (int, error) { return w.in.Read(b) }

// arrive waits until a whole frame is in the buffer.
func (w wire) arrive() error {
	head, err := w.in.Peek(headerSize)
	if err != nil {
		return err
	}
	length := min(binary.BigEndian.Uint32(head), frame.MaxLength) // what is longer is refused when it is read
	_, err = w.in.Peek(headerSize + int(length))
	return err
}

// hangUp ends the login, whoever is reading or writing just now.
func (w wire) hangUp() {
	_ = w.SetWriteDeadline(time.Now().Add(time.Second))
	_ = frame.Send(w.Conn, frame.Cancel{}) // closing says the same
	_ = w.Close()
}

// A watcher is a front that hears the agent while a person is being asked: the
// verdict may come then, or the end of the connection.
type watcher struct {
	front
	wire wire
	last *frame.Verdict // came unasked
	lost error          // why none will come
}

// errEnded: the question has no sense any more.
var errEnded = errors.New("the login ended meanwhile")

func (w *watcher) Ask(ctx context.Context, a frame.Ask) ([]byte, error) {
	asking, stop := context.WithCancel(ctx)
	defer stop()
	_ = w.wire.SetReadDeadline(time.Time{})
	heard := make(chan bool, 1)
	go func() {
		defer w.crash()
		ended := w.hear()
		if ended {
			stop()
		}
		heard <- ended
	}()
	value, err := w.front.Ask(asking, a)
	_ = w.wire.SetReadDeadline(time.Unix(1, 0)) // calls hear off
	ended := <-heard
	if w.last == nil && ctx.Err() != nil { // all the time that a login has is used up
		w.lost, ended = nil, true
		w.over()
	}
	if !ended {
		return value, err
	}
	clear(value)
	return nil, errEnded
}

// crash gives the terminal back in a panic that no deferred call of the main
// goroutine sees.
func (w *watcher) crash() {
	if p := recover(); p != nil {
		w.close()
		panic(p)
	}
}

// hear listens until it is called off, or the login has ended.
func (w *watcher) hear() (ended bool) {
	for {
		err := w.wire.arrive()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return false
		}
		var m frame.Message
		if err == nil {
			m, err = frame.Receive(w.wire)
		}
		if err != nil {
			w.lost = fmt.Errorf("%w: it hung up while an answer was awaited: %w", ipc.ErrSilent, err)
			return true
		}
		switch m := m.(type) {
		case frame.Tick:
		case frame.Say:
			w.Say(m)
		case frame.Verdict:
			w.last = &m
			return true
		default:
			w.lost = fmt.Errorf("%w: %T out of place", ipc.ErrSilent, m)
			return true
		}
	}
}
