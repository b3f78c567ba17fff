package ipc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"latchkey/internal/frame"
)

// The times of a front-end.
const (
	connectTime  = 1500 * time.Millisecond
	connectAgain = 100 * time.Millisecond
	firstFrame   = 2 * time.Second
	silence      = 3 * time.Second
	maxGuesses   = 3 // answers to secret and text prompts
	maxAnswers   = 8
)

// ErrUntrusted: the socket or its directory is not root's alone.
var ErrUntrusted = errors.New("the login socket or its directory is not root's alone")

// ErrSilent: the agent did not say anything in time, or not anything sensible.
var ErrSilent = errors.New("the agent does not answer")

// ErrCancelled: the front gave up.
var ErrCancelled = errors.New("cancelled")

// A Front shows what the agent says and returns what the person answers.
type Front interface {
	// Ask returns the answer; any error cancels the login. The value is wiped.
	Ask(ctx context.Context, a frame.Ask) ([]byte, error)
	// Say shows a text. A touch prompt is shown so too: it needs no answer.
	Say(s frame.Say)
}

// Dial connects to the agent. It retries for 1.5 s, because an agent that is
// being restarted is soon back, and accepts only a listener of root's in a
// directory that root alone may write.
func Dial(ctx context.Context, path string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTime)
	defer cancel()
	for {
		conn, err := dialOnce(ctx, path)
		if err == nil || errors.Is(err, ErrUntrusted) {
			return conn, err
		}
		pause(ctx, connectAgain)
		if ctx.Err() != nil {
			return nil, fmt.Errorf("connecting to the agent: %w", err)
		}
	}
}

func dialOnce(ctx context.Context, path string) (net.Conn, error) {
	info, err := os.Lstat(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	if !info.IsDir() || info.Mode().Perm()&0o022 != 0 || !ownedByUs(info) {
		return nil, ErrUntrusted
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	who, err := peer(conn)
	if err == nil && who.UID != 0 && int(who.UID) != os.Geteuid() {
		err = ErrUntrusted
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

// Converse carries one login over conn and closes it. Errors: ErrCancelled
// where the front gave up, ErrSilent where the agent is dead or talks nonsense;
// neither lets anybody in.
func Converse(ctx context.Context, conn net.Conn, h frame.Hello, b frame.Begin, f Front) (frame.Verdict, error) {
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, Ceiling)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	t := talk{conn: conn, front: f, wait: firstFrame}
	for _, m := range []frame.Message{h, b} {
		if err := frame.Send(conn, m); err != nil {
			return frame.Verdict{}, fmt.Errorf("%w: %w", ErrSilent, err)
		}
	}
	for {
		v, err := t.step(ctx)
		if err != nil {
			return frame.Verdict{}, err
		}
		if v != nil {
			return *v, nil
		}
	}
}

// A talk is a conversation from the front-end's side.
type talk struct {
	conn             net.Conn
	front            Front
	wait             time.Duration // for the next whole frame
	guesses, answers int
}

// step handles one frame; the verdict is set when it was the last one.
func (t *talk) step(ctx context.Context) (*frame.Verdict, error) {
	if err := t.conn.SetReadDeadline(time.Now().Add(t.wait)); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSilent, err)
	}
	m, err := frame.Receive(t.conn)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSilent, err)
	}
	t.wait = silence
	switch m := m.(type) {
	case frame.Tick:
	case frame.Say:
		t.front.Say(m)
	case frame.Ask:
		return nil, t.ask(ctx, m)
	case frame.Verdict:
		return &m, nil
	default:
		return nil, fmt.Errorf("%w: %T out of place", ErrSilent, m)
	}
	return nil, nil
}

func (t *talk) ask(ctx context.Context, a frame.Ask) error {
	if a.Kind == frame.Touch {
		t.front.Say(frame.Say{Text: a.Label})
		return nil
	}
	value, err := t.answer(ctx, a)
	defer clear(value)
	if err != nil {
		_ = frame.Send(t.conn, frame.Cancel{}) // closing says the same
		return fmt.Errorf("%w: %w", ErrCancelled, err)
	}
	if err := frame.Send(t.conn, frame.Answer{ID: a.ID, Value: value}); err != nil {
		return fmt.Errorf("%w: %w", ErrSilent, err)
	}
	return nil
}

// answer asks the person, within the number of answers a login may have.
func (t *talk) answer(ctx context.Context, a frame.Ask) ([]byte, error) {
	if a.Kind == frame.Secret || a.Kind == frame.Text {
		t.guesses++
	}
	if t.answers++; t.guesses > maxGuesses || t.answers > maxAnswers {
		return nil, errors.New("too many answers")
	}
	return t.front.Ask(ctx, a)
}
