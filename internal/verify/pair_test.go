package verify_test

import (
	"errors"
	"testing"
	"time"

	"latchkey"
	"latchkey/internal/otp"
	"latchkey/internal/verify"
)

// at is the code of a counter.
func at(c latchkey.Credential, n uint64) latchkey.Answer {
	v, _ := c.Codes.At(n)
	return typed(otp.Format(v, c.Digits))
}

func token(t *testing.T, next uint64) []verify.Held {
	return []verify.Held{{Credential: hotp(t), State: latchkey.CredentialState{Next: next}}, {Credential: totp(t)}}
}

func TestACodeThatIsAheadNeedsTheOneThatFollows(t *testing.T) {
	t.Parallel()
	for ahead, want := range map[uint64]bool{0: false, 10: false, 11: true, 35: true, 36: false} {
		held := token(t, 100)
		id, n, ok := verify.Ahead(held, latchkey.HOTP, at(held[0].Credential, 100+ahead), t0)
		if ok != want || ok && (id != "aut_h" || n != 100+ahead) {
			t.Errorf("%d ahead: %q %d %v", ahead, id, n, ok)
		}
	}
	held := token(t, 100)
	code := at(held[0].Credential, 120)
	if _, _, ok := verify.Ahead(held, latchkey.TOTP, code, t0); ok {
		t.Error("a step of an app is ahead")
	}
	held[0].State.RetryAt = t0.Add(1)
	if _, _, ok := verify.Ahead(held, latchkey.HOTP, code, t0); ok {
		t.Error("a throttled answer was looked at")
	}
	held = token(t, 100)
	held[0].Codes = upTo{held[0].Codes, 120}
	if _, _, ok := verify.Ahead(held, latchkey.HOTP, code, t0); ok {
		t.Error("the last code of a book is ahead, and nothing can follow it")
	}
}

func TestTheSecondCodeDecides(t *testing.T) {
	t.Parallel()
	c := hotp(t)
	for name, tc := range map[string]struct {
		next   uint64
		answer latchkey.Answer
		retry  time.Time
		want   error
		after  uint64
		fails  int
	}{
		"the one that follows":              {next: 100, answer: at(c, 121), after: 122},
		"the first once more":               {next: 100, answer: at(c, 120), want: verify.ErrReplayed, after: 100},
		"one press too many":                {next: 100, answer: at(c, 122), want: verify.ErrWrong, after: 100, fails: 1},
		"one of the near window":            {next: 100, answer: at(c, 100), want: verify.ErrWrong, after: 100, fails: 1},
		"wrong":                             {next: 100, answer: typed("000000"), want: verify.ErrWrong, after: 100, fails: 1},
		"the first was used meanwhile":      {next: 121, answer: at(c, 121), want: verify.ErrReplayed, after: 121},
		"the window is smaller meanwhile":   {next: 84, answer: at(c, 121), want: verify.ErrWrong, after: 84, fails: 1},
		"too soon after wrong answers":      {next: 100, answer: at(c, 121), retry: t0.Add(1), want: verify.ErrThrottled, after: 100},
		"the instant that the throttle end": {next: 100, answer: at(c, 121), retry: t0, after: 122},
	} {
		held := token(t, tc.next)
		held[0].State.RetryAt = tc.retry
		out, i, err := verify.CheckPair(held, "aut_h", 120, tc.answer, t0)
		if !errors.Is(err, tc.want) || out[0].State.Next != tc.after || out[0].State.Fails != tc.fails || out[1].State.Fails != 0 {
			t.Errorf("%s: %v, %+v", name, err, out[0].State)
		}
		if (err == nil) != (i == 0) {
			t.Errorf("%s: matched %d", name, i)
		}
	}
	held := token(t, 100)
	if out, _, err := verify.CheckPair(held, "aut_gone", 120, at(c, 121), t0); !errors.Is(err, verify.ErrWrong) || out[0].State.Fails != 1 {
		t.Errorf("a token that is gone: %v", err)
	}
}

func TestReplaysOfAPairAreRefused(t *testing.T) {
	t.Parallel()
	held := token(t, 100)
	c := held[0].Credential
	held, _, err := verify.CheckPair(held, "aut_h", 120, at(c, 121), t0)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []uint64{120, 121} {
		if _, _, err := verify.CheckKind(held, latchkey.HOTP, at(c, n), t0); !errors.Is(err, verify.ErrReplayed) {
			t.Errorf("counter %d again: %v", n, err)
		}
		if _, _, err := verify.CheckPair(held, "aut_h", 120, at(c, n), t0); !errors.Is(err, verify.ErrReplayed) {
			t.Errorf("counter %d again as the second: %v", n, err)
		}
	}
}

func TestAnAdministratorFindsATokenByTwoCodes(t *testing.T) {
	t.Parallel()
	c, s := hotp(t), latchkey.CredentialState{Next: 100, Fails: 3, Debt: 4}
	for name, tc := range map[string]struct {
		first, second uint64
		next          uint64 // 0: not found
	}{
		"where it is":                {100, 101, 102},
		"far ahead":                  {1100, 1101, 1102},
		"further":                    {1101, 1102, 0},
		"behind: it never goes back": {98, 99, 0},
		"half behind":                {99, 100, 0},
		"not consecutive":            {200, 202, 0},
		"the wrong way round":        {201, 200, 0},
		"one code twice":             {200, 200, 0},
	} {
		got, err := verify.Resync(c, s, at(c, tc.first), at(c, tc.second), 1000)
		if tc.next == 0 {
			if !errors.Is(err, verify.ErrWrong) || got != s {
				t.Errorf("%s: %v, %+v", name, err, got)
			}
		} else if err != nil || got.Next != tc.next || got.Fails != 3 || got.Debt != 4 {
			t.Errorf("%s: %v, %+v", name, err, got)
		}
	}
	if _, err := verify.Resync(totp(t), s, at(totp(t), 100), at(totp(t), 101), 1000); !errors.Is(err, verify.ErrWrong) {
		t.Errorf("an app: %v", err)
	}
}

func TestTwoCodesOfATokenThatIsThereTwiceAreUsedOnBoth(t *testing.T) {
	t.Parallel()
	held := token(t, 100)
	twin := held[0]
	twin.ID, twin.State.Next = "aut_twin", 90
	held = append(held, twin)
	out, i, err := verify.CheckPair(held, "aut_h", 120, at(held[0].Credential, 121), t0)
	if err != nil || i != 0 || out[0].State.Next != 122 || out[2].State.Next != 122 || out[1].State.Next != held[1].State.Next {
		t.Errorf("%d, %v, %+v", i, err, out)
	}
}
