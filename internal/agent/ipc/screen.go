package ipc

import (
	"context"
	"fmt"
	"time"

	"latchkey"
	"latchkey/internal/frame"
	"latchkey/internal/logon"
)

// Ask implements logon.Screen. A touch needs no answer: it is shown and Ask
// returns at once. The prompt's own number is the authority's and stays here;
// front-ends see numbers that never repeat within a conversation.
func (c *conversation) Ask(ctx context.Context, p latchkey.Prompt) (latchkey.Answer, error) {
	if c.one && p.Kind != latchkey.AskSecret {
		return oneField(p)
	}
	m, err := ask(p)
	if err != nil {
		return latchkey.Answer{}, err
	}
	q, err := c.put(ctx, m)
	if err != nil || p.Kind == latchkey.AskTouch {
		return latchkey.Answer{Prompt: p.ID, State: p.State}, err
	}
	value, err := c.wait(ctx, q, p.Expires)
	return latchkey.Answer{Prompt: p.ID, Value: value, State: p.State}, err
}

// oneField answers for a person whose one field is filled in: of several kinds
// he meant one that is typed as a code. Nothing else can be asked of him.
func oneField(p latchkey.Prompt) (latchkey.Answer, error) {
	for _, c := range p.Choices {
		if k := latchkey.Kind(c.ID); k == latchkey.TOTP || k == latchkey.HOTP {
			return latchkey.Answer{Prompt: p.ID, Value: []byte(c.ID), State: p.State}, nil
		}
	}
	return latchkey.Answer{}, logon.ErrCancelled
}

// put sends the question and remembers it. The order matters: the answer may
// arrive before put returns.
func (c *conversation) put(ctx context.Context, m frame.Ask) (*question, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if ctx.Err() != nil {
		return nil, logon.ErrCancelled
	}
	c.last++
	m.ID = c.last
	q := &question{id: m.ID, answer: make(chan []byte, 1)}
	if m.Kind == frame.Touch {
		if c.touched == nil {
			c.touched = map[uint32]bool{}
		}
		c.touched[m.ID] = true
	} else {
		c.asked = q
	}
	if err := c.write(m); err != nil {
		c.asked = nil
		return nil, fmt.Errorf("asking: %w", err)
	}
	return q, nil
}

// wait returns the value of q, or ErrCancelled where none comes in time.
func (c *conversation) wait(ctx context.Context, q *question, limit time.Duration) ([]byte, error) {
	if limit <= 0 || limit > Ceiling {
		limit = Ceiling
	}
	t := time.NewTimer(limit)
	defer t.Stop()
	select {
	case v := <-q.answer:
		return v, nil
	case <-ctx.Done():
	case <-t.C:
	}
	return nil, logon.ErrCancelled
}

var askKinds = map[latchkey.PromptKind]frame.Kind{
	latchkey.AskSecret: frame.Secret, latchkey.AskText: frame.Text, latchkey.AskChoice: frame.Choice,
	latchkey.AskConfirm: frame.Confirm, latchkey.AskTouch: frame.Touch,
}

// ask is the frame of a prompt; an unknown kind cannot be asked.
func ask(p latchkey.Prompt) (frame.Ask, error) {
	kind, ok := askKinds[p.Kind]
	if !ok {
		return frame.Ask{}, fmt.Errorf("asking: prompt of unknown kind %q", p.Kind)
	}
	m := frame.Ask{Kind: kind, Label: p.Label}
	if p.Expires > 0 {
		m.Expiry = uint32(min(p.Expires, Ceiling) / time.Second)
	}
	for _, choice := range p.Choices {
		m.Choices = append(m.Choices, frame.Option{ID: choice.ID, Label: choice.Label})
	}
	return m, nil
}
