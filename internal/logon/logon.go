// Package logon runs one login as a loop of questions and answers between a
// screen and an authority. It does not know whether the authority is the server
// or the machine itself: a login online and a login offline are the same code.
//
// It refuses to decide: verdicts come from authorities, and where none comes,
// the answer is no.
package logon

import (
	"context"
	"errors"

	"latchkey"
)

// ErrUnreachable: the authority cannot be asked; another one may be.
var ErrUnreachable = errors.New("authority unreachable")

// ErrSlept stands beside ErrUnreachable where the machine slept while it waited:
// whoever typed the answer may be gone, so no other authority gets it either.
var ErrSlept = errors.New("the machine slept while it waited for the answer")

// ErrCancelled: the person closed the screen or the front-end went away.
var ErrCancelled = errors.New("cancelled")

// How many answers one logon may take: guesses are few; choices and
// confirmations guess nothing, but do not go on for ever.
const (
	MaxGuesses = 3 // answers to secret and text prompts
	MaxAnswers = 8 // answers of any kind
)

// An Authority decides logons: the server when it can be reached, the vault
// when it cannot.
type Authority interface {
	// Begin opens the logon named l.ID (chosen by the agent). It returns
	// ErrUnreachable when another authority should be asked. It charges and
	// consumes nothing; a logon that ends here is recorded.
	Begin(ctx context.Context, l latchkey.Logon) (Turn, error)
	// Answer is idempotent per (logon, answer) for 120 s. ErrUnreachable: the
	// answer may or may not have been taken.
	Answer(ctx context.Context, l latchkey.Logon, a latchkey.Answer) (Turn, error)
}

// A Turn is an authority's next word: exactly one of the two is set.
type Turn struct {
	Prompt  *latchkey.Prompt
	Verdict *latchkey.Verdict
}

// End returns the turn that ends a logon.
func End(v latchkey.Verdict) Turn { return Turn{Verdict: &v} }

// Prompt returns the turn that asks.
func Prompt(p latchkey.Prompt) Turn { return Turn{Prompt: &p} }

// A Screen is where the person is.
type Screen interface {
	// Ask shows the prompt and returns what was typed, with the prompt's number
	// and state. ErrCancelled: nobody answers.
	Ask(ctx context.Context, p latchkey.Prompt) (latchkey.Answer, error)
}

// Run asks the authorities in order until one can be asked, and loops over its
// questions. An answer that an authority may or may not have taken is given to
// the next one once, without a new prompt; after a sleep the person is asked
// anew. The error tells the log why a
// verdict is InternalError; the verdict is always set and denies on any error.
func Run(ctx context.Context, s Screen, l latchkey.Logon, authorities ...Authority) (latchkey.Verdict, error) {
	r := runner{ctx: ctx, screen: s, logon: l}
	for _, a := range authorities {
		v, err := r.with(a)
		if errors.Is(err, ErrUnreachable) {
			continue
		}
		return settle(v, err)
	}
	return latchkey.DenyVerdict(latchkey.ServerUnreachable), nil
}

// settle makes a verdict of whatever happened.
func settle(v latchkey.Verdict, err error) (latchkey.Verdict, error) {
	switch {
	case errors.Is(err, ErrCancelled), errors.Is(err, context.Canceled):
		return latchkey.DenyVerdict(latchkey.Cancelled), nil
	case err != nil:
		return latchkey.DenyVerdict(latchkey.InternalError), err
	case v.Outcome == "":
		return latchkey.DenyVerdict(latchkey.InternalError), errors.New("verdict without an outcome")
	}
	return v, nil
}

type runner struct {
	ctx     context.Context
	screen  Screen
	logon   latchkey.Logon
	guesses int
	answers int
	// carried is the answer that the last authority may or may not have taken,
	// with the kind that it was asked for.
	carried *latchkey.Answer
	factor  latchkey.Kind
}

func (r *runner) with(a Authority) (latchkey.Verdict, error) {
	t, err := a.Begin(r.ctx, r.logon)
	for {
		if err != nil {
			return latchkey.Verdict{}, err
		}
		if t.Verdict != nil {
			return *t.Verdict, nil
		}
		if t.Prompt == nil {
			return latchkey.Verdict{}, errors.New("turn without prompt and verdict")
		}
		t, err = r.answer(a, *t.Prompt)
	}
}

func (r *runner) answer(a Authority, p latchkey.Prompt) (Turn, error) {
	ans, err := r.next(p)
	if err != nil {
		return Turn{}, err
	}
	t, err := a.Answer(r.ctx, r.logon, ans)
	if errors.Is(err, ErrUnreachable) && !errors.Is(err, ErrSlept) && p.Factor != "" {
		r.carried, r.factor = &ans, p.Factor
	}
	return t, err
}

// next is the carried answer where it fits the prompt, else what is typed.
func (r *runner) next(p latchkey.Prompt) (latchkey.Answer, error) {
	if r.carried != nil {
		if p.Kind == latchkey.AskChoice && offers(p, string(r.factor)) {
			return latchkey.Answer{Prompt: p.ID, Value: []byte(r.factor), State: p.State}, nil
		}
		c := r.carried
		r.carried = nil
		if p.Factor == r.factor {
			return latchkey.Answer{Prompt: p.ID, Value: c.Value, State: p.State}, nil
		}
	}
	if r.counted(p) {
		return latchkey.Answer{}, ErrCancelled
	}
	ans, err := r.screen.Ask(r.ctx, p)
	ans.Prompt, ans.State = p.ID, p.State
	return ans, err
}

// counted counts an answer to p and reports whether it is one too many.
func (r *runner) counted(p latchkey.Prompt) bool {
	r.answers++
	if p.Kind == latchkey.AskSecret || p.Kind == latchkey.AskText {
		r.guesses++
	}
	return r.guesses > MaxGuesses || r.answers > MaxAnswers
}

func offers(p latchkey.Prompt, id string) bool {
	for _, c := range p.Choices {
		if c.ID == id {
			return true
		}
	}
	return false
}
