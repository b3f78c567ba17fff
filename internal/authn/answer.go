package authn

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"latchkey"
	"latchkey/internal/logon"
	"latchkey/internal/policy"
	"latchkey/internal/verify"
)

// maxRaces bounds how often an answer is judged anew because somebody else was
// faster. Every race lost is a transaction that somebody won.
const maxRaces = 100

// answer takes one answer.
func (a *Authority) answer(ctx context.Context, l latchkey.Logon, ans latchkey.Answer) (Result, error) {
	s, err := a.open(ans.State, l)
	if err != nil {
		return Result{}, err
	}
	for range maxRaces {
		r, err := a.judge(ctx, l, s, ans)
		switch {
		case errors.Is(err, ErrRaced):
			continue
		case errors.Is(err, ErrAnswered):
			return a.again(ctx, l, a.name(l, s, ans))
		}
		return r, err
	}
	return Result{}, errBusy
}

var errBusy = latchkey.Errorf(latchkey.Busy, "too many answers at once for this account")

// again repeats what was said to an answer before.
func (a *Authority) again(ctx context.Context, l latchkey.Logon, name []byte) (Result, error) {
	r, found, err := a.store.Answered(ctx, name)
	if err != nil || !found {
		return Result{}, errors.Join(err, fmt.Errorf("logon %s: an answer was settled and is gone", l.ID))
	}
	if r.Ask == nil {
		return r, nil
	}
	h, err := a.hear(ctx, l)
	if err != nil {
		return Result{}, err
	}
	p := *r.Ask
	p.Turn-- // Next counts it again
	return a.ask(h, p, "")
}

// judge looks at an answer with facts of this moment.
func (a *Authority) judge(ctx context.Context, l latchkey.Logon, s state, ans latchkey.Answer) (Result, error) {
	h, err := a.hear(ctx, l)
	if err != nil {
		return Result{}, err
	}
	name := a.name(l, s, ans)
	if s.expired(h.now) {
		return a.late(ctx, h, name)
	}
	if h.decision.Action != policy.Ask {
		return a.end(ctx, h, h.verdict(), &settling{answer: name})
	}
	q, p := h.question(), s.Progress
	if p.Chosen == "" {
		next, _ := q.Choose(p, string(ans.Value)) // what cannot be read is asked again
		return a.ask(h, next, "")
	}
	if next, note, other := otherThanCode(q, p, string(ans.Value)); other {
		return a.ask(h, next, note)
	}
	return a.check(ctx, h, p, name, ans)
}

// late answers a prompt that nobody waits for any more: with what was settled
// in time, else with no.
func (a *Authority) late(ctx context.Context, h hearing, name []byte) (Result, error) {
	if r, found, err := a.store.Answered(ctx, name); err != nil || found && r.Verdict != nil {
		return r, err
	}
	return a.end(ctx, h, ruling{outcome: latchkey.Denied, reason: latchkey.Cancelled}, &settling{answer: name})
}

// otherThanCode handles what a secret prompt takes besides a code: nothing at
// all, a question mark, the word for another kind, and a kind that policy no
// longer lists. None of them is a guess.
func otherThanCode(q logon.Question, p logon.Progress, typed string) (next logon.Progress, note string, other bool) {
	if n, ok := q.Word(p, string(p.Chosen)); !ok {
		n.Chosen, n.Ahead = "", nil
		return n, "", true
	}
	if n, ok := q.Word(p, typed); ok {
		return n, "", true
	}
	switch strings.TrimSpace(typed) {
	case "":
		return p, "", true
	case "?":
		return p, help(q, p), true
	}
	return p, "", false
}

// help says what may be typed.
func help(q logon.Question, p logon.Progress) string {
	text := "Type the digits that your authenticator shows now"
	for _, k := range q.Kinds {
		if _, ok := q.Word(p, string(k)); ok && k != p.Chosen {
			text += fmt.Sprintf(", or %s for: %s", k, logon.KindLabel(k))
		}
	}
	return text + ". "
}

// check verifies the answer to a code prompt and settles what it changes.
func (a *Authority) check(ctx context.Context, h hearing, p logon.Progress, name []byte, ans latchkey.Answer) (Result, error) {
	set := &settling{answer: name}
	held := h.who.Held
	if h.now.Before(h.who.Here.RetryAt) && !h.own() {
		return a.end(ctx, h, throttled(h.who.Here.RetryAt), set)
	}
	after, matched, err := verified(held, p, ans, h.now)
	if errors.Is(err, verify.ErrWrong) && p.Ahead == nil {
		if id, n, ok := verify.Ahead(held, p.Chosen, ans, h.now); ok {
			return a.ask(h, p.Behind(id, n), "")
		}
	}
	switch {
	case errors.Is(err, verify.ErrThrottled):
		return a.end(ctx, h, throttled(verify.RetryAt(held, p.Chosen)), set)
	case errors.Is(err, verify.ErrReplayed):
		return a.end(ctx, h, ruling{outcome: latchkey.Denied, reason: latchkey.CodeAlreadyUsed}, set)
	case errors.Is(err, verify.ErrWrong):
		return a.wrong(ctx, h, p.Chosen, after, set)
	case err != nil:
		return Result{}, fmt.Errorf("verifying: %w", err)
	}
	set.use(after, matched)
	return a.right(ctx, h, p.Prove(), after, set)
}

// verified checks a code, or the one that must follow a code which was ahead.
func verified(held []verify.Held, p logon.Progress, ans latchkey.Answer, now time.Time) ([]verify.Held, int, error) {
	if p.Ahead != nil {
		return verify.CheckPair(held, p.Ahead.Credential, p.Ahead.Counter, ans, now)
	}
	return verify.CheckKind(held, p.Chosen, ans, now)
}

// wrong charges. The charge that reaches the lock locks for the longest wait,
// whatever the kinds were that the failures came from; the next logon says so.
func (a *Authority) wrong(ctx context.Context, h hearing, asked latchkey.Kind, after []verify.Held, set *settling) (Result, error) {
	if verify.LockedOut(after) {
		until := h.now.Add(verify.LongWait)
		for i := range after {
			if after[i].State.Fails > 0 {
				after[i].State.RetryAt = later(after[i].State.RetryAt, until)
			}
		}
	}
	set.move(h.who.Held, after)
	return a.end(ctx, h, ruling{outcome: latchkey.Denied, reason: latchkey.WrongCode, asked: asked}, set)
}

// right settles a right answer: the next question, or the success.
func (a *Authority) right(ctx context.Context, h hearing, p logon.Progress, after []verify.Held, set *settling) (Result, error) {
	if h.question().Finished(p) {
		forgive(after)
		set.move(h.who.Held, after)
		// The user's own programs may open his screen with a code. An allowance,
		// a tie to his uid or a place among the enrolled takes a login that root's
		// programs vouch for.
		set.proven = !h.own()
		return a.end(ctx, h, ruling{outcome: latchkey.Allowed, reason: latchkey.VerifiedOnline}, set)
	}
	set.move(h.who.Held, after)
	r, err := a.ask(h, p, "")
	if err != nil {
		return Result{}, err
	}
	_, err = a.store.Settle(ctx, a.settlement(h, set, r, a.event(h, latchkey.LogonStep, ruling{})))
	return r, err
}

// forgive takes one wrong answer off the debt with every complete success: who
// mistypes now and then never pays. More is not forgiven: guesses between the
// logins of the owner must not be free.
func forgive(held []verify.Held) {
	for i := range held {
		held[i].State.Debt = max(0, held[i].State.Debt-1)
	}
}

// lockedUntil is the end of the lock on a user; zero where there is none. When
// it is over there is one more try, and a wrong one locks again.
func lockedUntil(held []verify.Held, now time.Time) time.Time {
	if until := verify.LockedUntil(held); now.Before(until) {
		return until
	}
	return time.Time{}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
