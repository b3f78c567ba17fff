package verify

import (
	"crypto/subtle"
	"errors"
	"time"

	"latchkey"
	"latchkey/internal/otp"
)

// Ahead reports which HOTP token of a kind an answer is further ahead of than
// one code may be, and at which counter. Such a code is not accepted alone: the
// one that follows it must come next (RFC 4226 section 7.4). Nothing is found
// where the code that follows is not known, or while the kind must wait. It is
// asked after Check found the answer wrong, and charges nothing.
func Ahead(held []Held, kind latchkey.Kind, a latchkey.Answer, now time.Time) (id latchkey.AuthenticatorID, n uint64, ok bool) {
	return ahead(held, kind, a, now, true)
}

// AtTheEnd reports whether an answer is a code that is further ahead than one
// may be and the last one that is known: right, and of no use. Asked after Ahead
// found nothing, it charges nothing either.
func AtTheEnd(held []Held, kind latchkey.Kind, a latchkey.Answer, now time.Time) bool {
	_, _, ok := ahead(held, kind, a, now, false)
	return ok
}

// ahead finds a code that is ahead, of those whose next one is known or of the
// others.
func ahead(held []Held, kind latchkey.Kind, a latchkey.Answer, now time.Time, followed bool) (id latchkey.AuthenticatorID, n uint64, ok bool) {
	if kind != latchkey.HOTP || now.Before(RetryAt(held, kind)) {
		return "", 0, false
	}
	for _, h := range held {
		if h.Kind != kind || h.Window <= SingleCode {
			continue
		}
		from, to := upTo(h.State.Next, SingleCode)+1, upTo(h.State.Next, uint64(h.Window))
		_, fresh, at := scan(h.Credential, from, typed(h.Credential, a), from, to)
		if !fresh || ok {
			continue
		}
		if _, known := h.Codes.At(at + 1); (known && at < otp.LastCounter) == followed {
			id, n, ok = h.ID, at, true
		}
	}
	return id, n, ok
}

// CheckPair verifies the answer to the question for the code after counter n of
// a token, which Ahead found. The two codes together move its counter past
// both. The results are those of CheckKind: a wrong answer is charged to all of
// the kind, the code of n once more is no second code, and where the counter
// has passed n meanwhile somebody has used it.
func CheckPair(held []Held, id latchkey.AuthenticatorID, n uint64, a latchkey.Answer, now time.Time) ([]Held, int, error) {
	if now.Before(RetryAt(held, latchkey.HOTP)) {
		return held, -1, ErrThrottled
	}
	for i, h := range held {
		if h.ID != id || h.Kind != latchkey.HOTP {
			continue
		}
		switch s, err := pair(h, n, a); {
		case err == nil:
			return only(held, latchkey.HOTP, twins(held, i, s)), i, nil
		case errors.Is(err, ErrReplayed):
			return held, -1, err
		}
	}
	return charged(held, latchkey.HOTP, now), -1, ErrWrong
}

// twins are the states of a token that got one, and of those that have the same
// two codes in the same place: they hold the same secret.
func twins(held []Held, i int, s latchkey.CredentialState) map[int]latchkey.CredentialState {
	out := map[int]latchkey.CredentialState{i: s}
	for j, h := range held {
		if h.Kind != latchkey.HOTP || h.Codes == nil || h.Digits != held[i].Digits || h.State.Next >= s.Next {
			continue
		}
		if same(h.Codes, held[i].Codes, s.Next-2) && same(h.Codes, held[i].Codes, s.Next-1) {
			out[j] = latchkey.CredentialState{Next: s.Next, Debt: h.State.Debt}
		}
	}
	return out
}

func same(a, b latchkey.Codes, n uint64) bool {
	v, known := a.At(n)
	return known && is(b, n, int32(v))
}

func pair(h Held, n uint64, a latchkey.Answer) (latchkey.CredentialState, error) {
	s, code := h.State, typed(h.Credential, a)
	if n < s.Next {
		return s, ErrReplayed
	}
	if n-s.Next > uint64(max(0, h.Window)) || n >= otp.LastCounter || h.Codes == nil {
		return s, ErrWrong
	}
	switch {
	case is(h.Codes, n+1, code):
		return latchkey.CredentialState{Next: n + 2, Debt: s.Debt}, nil
	case is(h.Codes, n, code):
		return s, ErrReplayed
	}
	return s, ErrWrong
}

// is compares a code with the one of a counter.
func is(c latchkey.Codes, n uint64, code int32) bool {
	v, known := c.At(n)
	return known && subtle.ConstantTimeEq(int32(v), code) == 1
}

// charged counts one wrong answer against every credential of a kind.
func charged(held []Held, kind latchkey.Kind, now time.Time) []Held {
	out := append([]Held(nil), held...)
	for i := range out {
		if out[i].Kind == kind {
			out[i].State = Charge(out[i].State, now)
		}
	}
	return out
}

// Resync searches for two consecutive codes at most reach counters ahead of a
// token, for an administrator who has them read out. It returns the state past
// both; the counter never goes back. ErrWrong charges nothing: who asks is no
// guesser.
func Resync(c latchkey.Credential, s latchkey.CredentialState, first, second latchkey.Answer, reach uint64) (latchkey.CredentialState, error) {
	one, two := typed(c, first), typed(c, second)
	if c.Kind != latchkey.HOTP || c.Codes == nil {
		return s, ErrWrong
	}
	for n, last := s.Next, upTo(s.Next, reach); n <= last && n < otp.LastCounter; n++ {
		if is(c.Codes, n, one) && is(c.Codes, n+1, two) {
			s.Next = n + 2
			return s, nil
		}
	}
	return s, ErrWrong
}
