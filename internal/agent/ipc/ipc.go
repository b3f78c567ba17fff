// Package ipc serves the login socket: it takes LKLP frames from front-ends
// (docs/formats/lklp.md), learns from the kernel who is at the other end, and
// turns prompts into frames and frames into answers.
//
// It refuses to decide: verdicts come from its Handler. It refuses callers who
// speak for somebody else, and whatever is malformed, late or too much is cut
// off, which lets nobody in.
package ipc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"time"

	"latchkey"
	"latchkey/internal/logon"
)

// A Handler decides what front-ends ask.
type Handler interface {
	// Logon runs one login on the screen. When ctx ends it returns soon.
	Logon(ctx context.Context, s logon.Screen, l latchkey.Logon) latchkey.Verdict
	// Account says whether an account may enter without asking anything. proof
	// is the Event of an earlier verdict, or "".
	Account(ctx context.Context, l latchkey.Logon, proof string) latchkey.Verdict
	// Refused is told of a caller who may not speak for the user he named.
	Refused(l latchkey.Logon)
}

// A Caller is the process at the other end of a socket, by the kernel's word.
type Caller struct {
	UID uint32
	PID int32
}

// The times of a conversation.
const (
	// Ceiling is how long one transaction may take, the person included.
	Ceiling = 110 * time.Second
	// openingTime is how long HELLO and BEGIN may take.
	openingTime = 5 * time.Second
	// writeTime is how long one frame may wait for a front-end that does not
	// read.
	writeTime = 2 * time.Second
	tickEvery = time.Second
	// acceptPause is how long to wait when the system has no descriptor left.
	acceptPause = 50 * time.Millisecond
)

// A Server serves front-ends. Its fields are set before Serve.
type Server struct {
	Handler Handler
	Log     *slog.Logger
	Now     func() time.Time
	// Passwd is the machine's own user database; "" means /etc/passwd. It is a
	// field and no setting: who is local is not for a configuration to say.
	Passwd string
	// Services are PAM services beyond the built-in list, as of now; nil means none.
	Services func() Services
	// Limits bound how many conversations run at once; zero values mean the
	// defaults.
	Limits Limits

	gate gate
}

// Serve takes connections from l until ctx ends, and returns when the last
// conversation is over. The listener is closed.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	var open sync.WaitGroup
	defer open.Wait()
	for {
		conn, err := l.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				_ = conn.Close()
			}
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("serving the login socket: %w", err)
		case err != nil:
			s.Log.Warn("login socket", "error", err)
			pause(ctx, acceptPause)
		default:
			s.welcome(ctx, conn, &open)
		}
	}
}

func (s *Server) services() Services {
	if s.Services == nil {
		return Services{}
	}
	return s.Services()
}

// Quiet waits until no conversation is under way, or until ctx ends: a login
// that has begun may end well before the agent does.
func (s *Server) Quiet(ctx context.Context) {
	for {
		left := s.gate.next()
		if left == nil {
			return
		}
		select {
		case <-left:
		case <-ctx.Done():
			return
		}
	}
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// welcome starts a conversation if the caller has a place left. It must not
// block: whoever connects next may be root.
func (s *Server) welcome(ctx context.Context, conn net.Conn, open *sync.WaitGroup) {
	who, err := peer(conn)
	if err != nil {
		s.Log.Warn("login socket: caller unknown", "error", err)
		_ = conn.Close()
		return
	}
	if !s.gate.enter(who.UID, s.Limits) {
		_ = conn.Close()
		return
	}
	open.Go(func() {
		defer s.gate.leave(who.UID)
		s.converse(ctx, conn, who)
	})
}

// converse carries one transaction and closes the connection. A panic ends
// this conversation without a verdict, which denies, and not those of others.
func (s *Server) converse(ctx context.Context, conn net.Conn, who Caller) {
	defer conn.Close()
	defer func() {
		if p := recover(); p != nil {
			s.Log.Error("login conversation broke", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		}
	}()
	c := &conversation{conn: conn}
	if err := s.transact(ctx, c, who); err != nil {
		s.Log.Warn("login conversation ended", "error", err, "uid", who.UID, "pid", who.PID)
	}
}
