package verify

import (
	"errors"
	"time"

	"latchkey"
)

// Held is a credential together with its state.
type Held struct {
	latchkey.Credential
	State latchkey.CredentialState
	// Handed is the first counter of a token that no machine was ever handed the
	// code of; 0 where none was.
	Handed uint64
}

// CheckKind verifies a against every credential of a kind. It returns held
// with the states that must be stored before the result is shown, and which
// credential matched first (-1 for none). A wrong answer is charged to all of the
// kind: two authenticators of one kind are no second set of guesses. A right one
// is consumed wherever it is right, and where one of the kind knows it as used it
// is: two authenticators with one secret are no second life for a code.
// Errors: ErrWrong, ErrReplayed, ErrThrottled.
func CheckKind(held []Held, kind latchkey.Kind, a latchkey.Answer, now time.Time) ([]Held, int, error) {
	if now.Before(RetryAt(held, kind)) {
		return held, -1, ErrThrottled
	}
	out, matched, replayed := append([]Held(nil), held...), -1, false
	right := map[int]latchkey.CredentialState{}
	for i, h := range held {
		if h.Kind != kind {
			continue
		}
		s, err := Check(h.Credential, h.State, a, now)
		out[i].State = s
		if err == nil {
			right[i] = s
			if matched < 0 {
				matched = i
			}
		}
		replayed = replayed || errors.Is(err, ErrReplayed)
	}
	switch {
	case replayed:
		return held, -1, ErrReplayed
	case matched >= 0:
		return only(held, kind, right), matched, nil
	}
	return out, -1, ErrWrong
}

// only returns held with the states changed of those that an answer was right
// for, and the failures of the other credentials of the kind cleared with them:
// they were charged together.
func only(held []Held, kind latchkey.Kind, right map[int]latchkey.CredentialState) []Held {
	out := append([]Held(nil), held...)
	for i := range out {
		if s, is := right[i]; is {
			out[i].State = s
		} else if out[i].Kind == kind {
			out[i].State.Fails, out[i].State.RetryAt = 0, time.Time{}
		}
	}
	return out
}

// RetryAt is when the next answer of a kind may be given; zero means now.
func RetryAt(held []Held, kind latchkey.Kind) time.Time {
	var at time.Time
	for _, h := range held {
		if h.Kind == kind && h.State.RetryAt.After(at) {
			at = h.State.RetryAt
		}
	}
	return at
}

// LockedOut reports whether a user's failures together have reached the lock.
// Credentials of one kind are charged together and count once.
func LockedOut(held []Held) bool {
	most := map[latchkey.Kind]int{}
	for _, h := range held {
		most[h.Kind] = max(most[h.Kind], h.State.Fails)
	}
	total := 0
	for _, fails := range most {
		total += fails
	}
	return total >= LockAt
}

// LockedAt is LockedOut while the wait that the failures earned is not over:
// after it there is one more try, and a wrong one locks again.
func LockedAt(held []Held, now time.Time) bool { return now.Before(LockedUntil(held)) }

// LockedUntil is the end of the lock on a user; zero where there is none.
func LockedUntil(held []Held) (until time.Time) {
	if !LockedOut(held) {
		return until
	}
	for _, h := range held {
		if h.State.RetryAt.After(until) {
			until = h.State.RetryAt
		}
	}
	return until
}

// Kinds lists the kinds in held, once each.
func Kinds(held []Held) []latchkey.Kind {
	var out []latchkey.Kind
	seen := map[latchkey.Kind]bool{}
	for _, h := range held {
		if !seen[h.Kind] {
			seen[h.Kind] = true
			out = append(out, h.Kind)
		}
	}
	return out
}
