package verify_test

import (
	"errors"
	"testing"

	"latchkey"
	"latchkey/internal/otp"
	"latchkey/internal/verify"
)

// A20: a counter is right wherever it is, or refused; it never wraps into one
// that was used.
func TestA20NoCounterWraps(t *testing.T) {
	t.Parallel()
	c := hotp(t)
	for name, tc := range map[string]struct {
		next, code uint64
		want       error
	}{
		"2^31":                    {1 << 31, 1<<31 + 3, nil},
		"2^32":                    {1<<32 - 1, 1 << 32, nil},
		"2^62":                    {1 << 62, 1<<62 + 10, nil},
		"the last":                {otp.LastCounter, otp.LastCounter, nil},
		"up to the last":          {otp.LastCounter - 3, otp.LastCounter, nil},
		"past the last":           {otp.LastCounter - 3, otp.LastCounter + 1, verify.ErrWrong},
		"2^63-1":                  {1<<63 - 1, 1<<63 - 1, verify.ErrWrong},
		"2^63":                    {1<<63 - 1, 1 << 63, verify.ErrWrong},
		"the end of 64 bits":      {1<<64 - 1, 1<<64 - 1, verify.ErrWrong},
		"0 after the end":         {1<<64 - 1, 0, verify.ErrWrong},
		"used, right at the last": {otp.LastCounter + 1, otp.LastCounter, verify.ErrReplayed},
	} {
		got, err := verify.Check(c, latchkey.CredentialState{Next: tc.next}, at(c, tc.code), t0)
		if !errors.Is(err, tc.want) || err == nil && got.Next != tc.code+1 || err != nil && got.Next != tc.next {
			t.Errorf("%s: next %d, %v", name, got.Next, err)
		}
	}
}

func TestA20NoPairWraps(t *testing.T) {
	t.Parallel()
	c := hotp(t)
	for _, next := range []uint64{otp.LastCounter - 20, otp.LastCounter, 1<<63 - 1, 1<<64 - 30, 1<<64 - 1} {
		held := []verify.Held{{Credential: c, State: latchkey.CredentialState{Next: next}}}
		for _, n := range []uint64{otp.LastCounter, otp.LastCounter + 1, next + 30} {
			if _, got, ok := verify.Ahead(held, latchkey.HOTP, at(c, n), t0); ok {
				t.Errorf("from %d: %d is found ahead", next, got)
			}
			if after, _, err := verify.CheckPair(held, c.ID, n, at(c, n+1), t0); err == nil {
				t.Errorf("from %d: the pair at %d moves it to %d", next, n, after[0].State.Next)
			}
			if s, err := verify.Resync(c, held[0].State, at(c, n), at(c, n+1), 1000); err == nil {
				t.Errorf("from %d: %d is found, next %d", next, n, s.Next)
			}
		}
	}
}
