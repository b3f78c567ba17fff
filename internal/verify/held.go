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
// credential matched (-1 for none). A wrong answer is charged to all of the
// kind: two authenticators of one kind are no second set of guesses.
// Errors: ErrWrong, ErrReplayed, ErrThrottled.
func CheckKind(held []Held, kind latchkey.Kind, a latchkey.Answer, now time.Time) ([]Held, int, error) {
	if now.Before(RetryAt(held, kind)) {
		return held, -1, ErrThrottled
	}
	out, matched, replayed := append([]Held(nil), held...), -1, false
	for i, h := range held {
		if h.Kind != kind {
			continue
		}
		s, err := Check(h.Credential, h.State, a, now)
		out[i].State = s
		if err == nil && matched < 0 {
			matched = i
		}
		replayed = replayed || errors.Is(err, ErrReplayed)
	}
	if matched >= 0 {
		return only(held, matched, out[matched].State), matched, nil
	}
	if replayed {
		return held, -1, ErrReplayed
	}
	return out, -1, ErrWrong
}

// only returns held with one state changed, and the failures of the other
// credentials of its kind cleared with it: they were charged together.
func only(held []Held, i int, s latchkey.CredentialState) []Held {
	out := append([]Held(nil), held...)
	for j := range out {
		if out[j].Kind == out[i].Kind {
			out[j].State.Fails, out[j].State.RetryAt = 0, time.Time{}
		}
	}
	out[i].State = s
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
