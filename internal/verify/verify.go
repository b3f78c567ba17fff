// Package verify checks one answer against one credential. It is pure: it
// keeps nothing and returns the state that the caller must store before it
// says a word about the result.
//
// It refuses to decide who may log in; that is policy's.
package verify

import (
	"crypto/subtle"
	"errors"
	"strconv"
	"time"

	"latchkey"
	"latchkey/internal/otp"
)

// The results of a check that is not a success.
var (
	// ErrWrong: the answer is wrong; the returned state is charged.
	ErrWrong = errors.New("wrong code")
	// ErrReplayed: the answer was right once and is used; nothing is charged.
	ErrReplayed = errors.New("code already used")
	// ErrThrottled: too soon after wrong answers; the answer was not looked at.
	ErrThrottled = errors.New("too soon after wrong answers")
)

// ReplayWindow is how many used HOTP counters are still recognised as used, so
// that their owner is told instead of charged.
const ReplayWindow = 10

// SingleCode is how far an HOTP token may be ahead when one code is enough
// (RFC 4226 section 7.4: the window stays as small as is usable). The code that
// is expected is 0 ahead, so eleven codes are good alone; the twelfth is more
// than SingleCode ahead and asks for the one after it.
const SingleCode = 10

// Check verifies a against c. The returned state must be durable before the
// result is shown, whatever the result is. Errors: ErrWrong, ErrReplayed,
// ErrThrottled.
func Check(c latchkey.Credential, s latchkey.CredentialState, a latchkey.Answer, now time.Time) (latchkey.CredentialState, error) {
	if now.Before(s.RetryAt) {
		return s, ErrThrottled
	}
	from, to := window(c, s, now)
	used, fresh, n := scan(c, s.Next, typed(c, a), from, to)
	switch {
	case fresh:
		return latchkey.CredentialState{Next: n + 1, Debt: s.Debt}, nil
	case used:
		return s, ErrReplayed
	}
	return Charge(s, now), ErrWrong
}

// Matches reports which step or counter a is the code of, without regard to
// throttling: a machine uses it to mark a code as spent before sending it.
func Matches(c latchkey.Credential, s latchkey.CredentialState, a latchkey.Answer, now time.Time) (n uint64, ok bool) {
	from, to := window(c, s, now)
	_, fresh, n := scan(c, s.Next, typed(c, a), from, to)
	return n, fresh
}

// window is the inclusive range of steps or counters that are compared.
func window(c latchkey.Credential, s latchkey.CredentialState, now time.Time) (from, to uint64) {
	if c.Kind == latchkey.TOTP {
		at, w := otp.Step(now, c.Period), uint64(max(0, c.Window))
		return at - min(at, w), at + w
	}
	ahead := uint64(max(0, min(c.Window, SingleCode)))
	return s.Next - min(s.Next, ReplayWindow), upTo(s.Next, ahead)
}

// upTo is a counter that much further on, and the last one there is at most.
func upTo(next, ahead uint64) uint64 {
	if next > otp.LastCounter || ahead > otp.LastCounter-next {
		return otp.LastCounter
	}
	return next + ahead
}

// scan compares every candidate, so that time does not tell where the match
// was. Of several fresh matches the lowest counts for HOTP and TOTP alike: the
// later ones stay usable.
func scan(c latchkey.Credential, next uint64, code int32, from, to uint64) (used, fresh bool, at uint64) {
	if c.Kind != latchkey.TOTP && c.Kind != latchkey.HOTP || c.Codes == nil || to < from {
		return false, false, 0
	}
	for n := from; ; n++ {
		v, known := c.Codes.At(n)
		if known && subtle.ConstantTimeEq(int32(v), code) == 1 {
			if n < next {
				used = true
			} else if !fresh {
				fresh, at = true, n
			}
		}
		if n == to {
			return used, fresh, at
		}
	}
}

// typed is the code as a number, or -1 where it cannot be one of c's.
func typed(c latchkey.Credential, a latchkey.Answer) int32 {
	code, err := otp.Normalize(string(a.Value))
	if err != nil || len(code) != c.Digits {
		return -1
	}
	v, err := strconv.ParseInt(code, 10, 32)
	if err != nil {
		return -1
	}
	return int32(v)
}
