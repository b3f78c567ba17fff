package ipc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"latchkey"
	"latchkey/internal/frame"
)

// errGone: the front-end cancelled or went away. Nothing more is sent to it.
var errGone = errors.New("front-end gone")

// A conversation is one connection. A reader takes frames, a ticker tells the
// front-end that the agent is alive, and the handler's goroutine asks; mu
// orders what they write and what is open.
type conversation struct {
	conn net.Conn
	one  bool // the front-end has one field, filled in already

	mu      sync.Mutex
	last    uint32          // ID of the last ASK
	asked   *question       // the open one, nil while thinking
	touched map[uint32]bool // ended touch prompts, whose ANSWER may come late
}

// A question is an ASK that waits for its ANSWER.
type question struct {
	id     uint32
	answer chan []byte // takes one value without waiting
}

// transact reads HELLO and BEGIN, lets the handler decide and sends the
// verdict.
func (s *Server) transact(ctx context.Context, c *conversation, who Caller) error {
	begin, spoken, err := c.open()
	if errors.Is(err, io.EOF) {
		return nil // somebody looked whether anybody is there
	}
	if err != nil {
		return err
	}
	if !spoken {
		return c.send(frame.Verdict{Outcome: frame.Unavailable, Reason: string(latchkey.InternalError)})
	}
	ctx, cancel := context.WithTimeout(ctx, Ceiling)
	defer cancel()
	ctx, abort := context.WithCancelCause(ctx)

	var beside sync.WaitGroup
	defer beside.Wait()
	defer c.conn.Close() // ends the reader
	defer abort(nil)     // ends the ticker
	beside.Go(func() { abort(c.read()) })
	beside.Go(func() { c.tick(ctx, abort) })

	c.one = begin.Flags&frame.FlagOneField != 0
	v := s.decide(ctx, c, begin, who)
	if cause := context.Cause(ctx); errors.Is(cause, frame.ErrMalformed) {
		return cause
	} else if errors.Is(cause, errGone) {
		return nil
	}
	abort(nil) // no tick after the verdict
	return c.verdict(v, s.Now())
}

// open reads HELLO and BEGIN and answers with the version. spoken is false
// where the two sides have no version in common.
func (c *conversation) open() (b frame.Begin, spoken bool, err error) {
	if err := c.conn.SetReadDeadline(time.Now().Add(openingTime)); err != nil {
		return b, false, fmt.Errorf("opening: %w", err)
	}
	hello, err := receive[frame.Hello](c.conn)
	if err != nil {
		return b, false, err
	}
	version, spoken := hello.Common()
	if !spoken {
		return b, false, nil
	}
	if b, err = receive[frame.Begin](c.conn); err != nil {
		return b, false, err
	}
	if err := c.conn.SetReadDeadline(time.Time{}); err != nil {
		return b, false, fmt.Errorf("opening: %w", err)
	}
	return b, true, c.send(frame.Tick{Version: version})
}

// receive takes one frame, which has to be a T.
func receive[T frame.Message](conn net.Conn) (T, error) {
	var none T
	m, err := frame.Receive(conn)
	if err != nil {
		return none, fmt.Errorf("opening: %w", err)
	}
	t, ok := m.(T)
	if !ok {
		return none, fmt.Errorf("opening: %T out of place: %w", m, frame.ErrMalformed)
	}
	return t, nil
}

// read takes frames until the connection ends, and returns why it did.
func (c *conversation) read() error {
	for {
		m, err := frame.Receive(c.conn)
		if errors.Is(err, frame.ErrMalformed) {
			return err
		}
		if err != nil {
			return errGone
		}
		switch m := m.(type) {
		case frame.Cancel:
			return errGone
		case frame.Answer:
			if err := c.take(m); err != nil {
				return err
			}
		default:
			return fmt.Errorf("%T out of place: %w", m, frame.ErrMalformed)
		}
	}
}

// take gives an ANSWER to the open ASK. One for a touch prompt that has ended
// is late, not wrong.
func (c *conversation) take(a frame.Answer) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.asked != nil && c.asked.id == a.ID:
		c.asked.answer <- a.Value
		c.asked = nil
		return nil
	case c.touched[a.ID]:
		delete(c.touched, a.ID)
		return nil
	}
	clear(a.Value)
	return fmt.Errorf("ANSWER to no open question: %w", frame.ErrMalformed)
}

// tick sends a TICK every second while nobody is being asked.
func (c *conversation) tick(ctx context.Context, abort context.CancelCauseFunc) {
	t := time.NewTicker(tickEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		if err := c.sendWhileThinking(ctx); err != nil {
			abort(errGone)
			return
		}
	}
}

func (c *conversation) sendWhileThinking(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.asked != nil || ctx.Err() != nil {
		return nil
	}
	return c.write(frame.Tick{})
}

func (c *conversation) send(m frame.Message) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.write(m)
}

// write sends one frame. A front-end that does not read is cut off.
func (c *conversation) write(m frame.Message) error {
	if err := c.conn.SetWriteDeadline(time.Now().Add(writeTime)); err != nil {
		return fmt.Errorf("%w: %w", errGone, err)
	}
	err := frame.Send(c.conn, m)
	if err != nil && !errors.Is(err, frame.ErrMalformed) {
		return fmt.Errorf("%w: %w", errGone, err)
	}
	return err
}
