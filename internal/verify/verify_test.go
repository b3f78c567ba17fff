package verify_test

import (
	"errors"
	"testing"
	"time"

	"latchkey"
	"latchkey/internal/otp"
	"latchkey/internal/secret"
	"latchkey/internal/verify"
)

// key20 is the secret of RFC 4226 appendix D and RFC 6238 appendix B.
var key20 = secret.Bytes("12345678901234567890")

func hotp(t *testing.T) latchkey.Credential {
	g, err := otp.NewGenerator(key20, otp.SHA1, 6)
	if err != nil {
		t.Fatal(err)
	}
	return latchkey.Credential{ID: "aut_h", Kind: latchkey.HOTP, Digits: 6, Window: 35, Codes: all{g}}
}

func totp(t *testing.T) latchkey.Credential {
	g, err := otp.NewGenerator(key20, otp.SHA1, 8)
	if err != nil {
		t.Fatal(err)
	}
	return latchkey.Credential{ID: "aut_t", Kind: latchkey.TOTP, Digits: 8, Period: 30, Window: 1, Codes: all{g}}
}

// all knows every code, as the server does.
type all struct{ g *otp.Generator }

func (a all) At(n uint64) (uint32, bool) { return a.g.At(n), true }

func typed(code string) latchkey.Answer { return latchkey.Answer{Value: secret.Bytes(code)} }

var t0 = time.Unix(1111111111, 0) // RFC 6238 appendix B: step 0x23523ED

func TestA01HOTPVectorsInOrder(t *testing.T) {
	t.Parallel()
	c, s := hotp(t), latchkey.CredentialState{}
	codes := []string{"755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489"}
	for n, code := range codes {
		var err error
		if s, err = verify.Check(c, s, typed(code), t0); err != nil || s.Next != uint64(n)+1 {
			t.Fatalf("counter %d: next %d, %v", n, s.Next, err)
		}
	}
	for _, code := range codes {
		if got, err := verify.Check(c, s, typed(code), t0); !errors.Is(err, verify.ErrReplayed) || got != s {
			t.Errorf("B10 used code %s: %v, state %+v", code, err, got)
		}
	}
}

func TestA02TOTPVectors(t *testing.T) {
	t.Parallel()
	for at, code := range map[int64]string{
		59: "94287082", 1111111109: "07081804", 1111111111: "14050471",
		1234567890: "89005924", 2000000000: "69279037", 20000000000: "65353130",
	} {
		if _, err := verify.Check(totp(t), latchkey.CredentialState{}, typed(code), time.Unix(at, 0)); err != nil {
			t.Errorf("at %d: %v", at, err)
		}
	}
}

func TestTOTPWindowAndReplay(t *testing.T) {
	t.Parallel()
	c := totp(t)
	step := otp.Step(t0, 30)
	code := func(offset int) string {
		v, _ := c.Codes.At(step + uint64(int64(offset)))
		return otp.Format(v, 8)
	}
	used := latchkey.CredentialState{Next: step + 1}
	for name, tc := range map[string]struct {
		state latchkey.CredentialState
		code  string
		want  error
		next  uint64
	}{
		"D01 current step":                         {code: code(0), next: step + 1},
		"D01 one step late":                        {code: code(-1), next: step},
		"D01 one step early":                       {code: code(1), next: step + 2},
		"D01 two steps late":                       {code: code(-2), want: verify.ErrWrong},
		"D01 two steps early":                      {code: code(2), want: verify.ErrWrong},
		"B01 the same step again":                  {state: used, code: code(0), want: verify.ErrReplayed, next: step + 1},
		"B02 the step before an accepted one":      {state: used, code: code(-1), want: verify.ErrReplayed, next: step + 1},
		"the step after an accepted one":           {state: used, code: code(1), next: step + 2},
		"A13 spaces are ignored":                   {code: code(0)[:4] + " " + code(0)[4:], next: step + 1},
		"too short":                                {code: code(0)[:6], want: verify.ErrWrong},
		"empty":                                    {code: "", want: verify.ErrWrong},
		"letters":                                  {code: "abcdefgh", want: verify.ErrWrong},
		"right code while throttled":               {state: latchkey.CredentialState{RetryAt: t0.Add(1)}, code: code(0), want: verify.ErrThrottled},
		"right code the instant the throttle ends": {state: latchkey.CredentialState{RetryAt: t0, Fails: 5}, code: code(0), next: step + 1},
	} {
		got, err := verify.Check(c, tc.state, typed(tc.code), t0)
		if !errors.Is(err, tc.want) || got.Next != tc.next {
			t.Errorf("%s: next %d, %v; want %d, %v", name, got.Next, err, tc.next, tc.want)
		}
		if err == nil && got.Fails != 0 {
			t.Errorf("%s: failures are kept after a success", name)
		}
	}
}

func TestHOTPLooksAhead(t *testing.T) {
	t.Parallel()
	c := hotp(t)
	for ahead, want := range map[uint64]error{0: nil, 1: nil, 10: nil, 11: verify.ErrWrong, 35: verify.ErrWrong} {
		v, _ := c.Codes.At(100 + ahead)
		s, err := verify.Check(c, latchkey.CredentialState{Next: 100}, typed(otp.Format(v, 6)), t0)
		if !errors.Is(err, want) {
			t.Errorf("%d ahead: %v, want %v", ahead, err, want)
		}
		if err == nil && s.Next != 101+ahead {
			t.Errorf("%d ahead: next is %d", ahead, s.Next)
		}
	}
}

func TestPastTheBookNothingMatches(t *testing.T) {
	t.Parallel()
	c := hotp(t)
	inner := c.Codes
	c.Codes = upTo{inner, 104}
	v, _ := inner.At(105)
	if _, err := verify.Check(c, latchkey.CredentialState{Next: 100}, typed(otp.Format(v, 6)), t0); !errors.Is(err, verify.ErrWrong) {
		t.Errorf("a code beyond the book: %v", err)
	}
}

type upTo struct {
	latchkey.Codes
	last uint64
}

func (u upTo) At(n uint64) (uint32, bool) {
	if n > u.last {
		return 0, false
	}
	return u.Codes.At(n)
}

func TestC05WrongCodesGrowSlower(t *testing.T) {
	t.Parallel()
	c, s, now := hotp(t), latchkey.CredentialState{}, t0
	var waits []time.Duration
	for range verify.LockAt {
		var err error
		if s, err = verify.Check(c, s, typed("000000"), now); !errors.Is(err, verify.ErrWrong) {
			t.Fatal(err)
		}
		waits = append(waits, max(0, s.RetryAt.Sub(now)))
		now = now.Add(waits[len(waits)-1])
	}
	want := []time.Duration{0, 0, 0, 0, 30, 60, 120, 240, 480, 960}
	for i := range want {
		if waits[i] != want[i]*time.Second {
			t.Errorf("after %d wrong codes: wait %v, want %v", i+1, waits[i], want[i]*time.Second)
		}
	}
	held := []verify.Held{{Credential: c, State: s}}
	if !verify.LockedOut(held) {
		t.Error("C07 ten wrong codes do not lock")
	}
}

func TestC08RightAnswersDoNotBuyGuesses(t *testing.T) {
	t.Parallel()
	c, s := hotp(t), latchkey.CredentialState{}
	now, waited := t0, time.Duration(0)
	for range 20 {
		for range 9 {
			s, _ = verify.Check(c, s, typed("000000"), now)
			if s.RetryAt.After(now) {
				waited += s.RetryAt.Sub(now)
				now = s.RetryAt
			}
		}
		v, _ := c.Codes.At(s.Next)
		var err error
		if s, err = verify.Check(c, s, typed(otp.Format(v, 6)), now); err != nil {
			t.Fatal(err)
		}
	}
	if waited < 100*time.Hour {
		t.Errorf("180 guesses took only %v", waited)
	}
}

func TestKindsAreCheckedTogether(t *testing.T) {
	t.Parallel()
	a, b := hotp(t), hotp(t)
	b.ID = "aut_2"
	g, _ := otp.NewGenerator(secret.Bytes("another secret of 20"), otp.SHA1, 6)
	b.Codes = all{g}
	held := []verify.Held{{Credential: a}, {Credential: b}, {Credential: totp(t)}}
	out, i, err := verify.CheckKind(held, latchkey.HOTP, typed("000000"), t0)
	if !errors.Is(err, verify.ErrWrong) || i != -1 || out[0].State.Fails != 1 || out[1].State.Fails != 1 || out[2].State.Fails != 0 {
		t.Fatalf("wrong code: %d, %v, %+v", i, err, out)
	}
	code := otp.Format(g.At(3), 6)
	out, i, err = verify.CheckKind(out, latchkey.HOTP, typed(code), t0)
	if err != nil || i != 1 || out[1].State.Next != 4 || out[0].State.Next != 0 || out[0].State.Fails != 0 {
		t.Fatalf("right code of the second: %d, %v, %+v", i, err, out)
	}
	if _, _, err = verify.CheckKind(out, latchkey.HOTP, typed(code), t0); !errors.Is(err, verify.ErrReplayed) {
		t.Fatalf("the same code again: %v", err)
	}
}

// An authenticator that was added twice, for one phone or one token.
func TestACodeOfASecretThatIsThereTwiceIsUsedOnce(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		kind  latchkey.Kind
		twins []verify.Held
		code  string
	}{
		"an app":  {latchkey.TOTP, []verify.Held{{Credential: totp(t)}, {Credential: totp(t)}}, "94287082"},
		"a token": {latchkey.HOTP, []verify.Held{{Credential: hotp(t)}, {Credential: hotp(t)}}, "755224"},
		"a token that was ahead on one of them": {latchkey.HOTP, []verify.Held{
			{Credential: hotp(t)}, {Credential: hotp(t), State: latchkey.CredentialState{Next: 2}},
		}, "359152"},
	} {
		now := time.Unix(59, 0)
		out, i, err := verify.CheckKind(tc.twins, tc.kind, typed(tc.code), now)
		if err != nil || i != 0 || out[0].State.Next == 0 || out[0].State.Next != out[1].State.Next {
			t.Errorf("%s: %d, %v, %+v", name, i, err, out)
			continue
		}
		if _, _, err = verify.CheckKind(out, tc.kind, typed(tc.code), now); !errors.Is(err, verify.ErrReplayed) {
			t.Errorf("%s: the code has a second life: %v", name, err)
		}
	}
	// Of twins whose counters are apart already, one knows the code as used.
	apart := []verify.Held{{Credential: hotp(t), State: latchkey.CredentialState{Next: 1}}, {Credential: hotp(t)}}
	if _, _, err := verify.CheckKind(apart, latchkey.HOTP, typed("755224"), t0); !errors.Is(err, verify.ErrReplayed) {
		t.Errorf("a code that one of them has used: %v", err)
	}
}

func TestC11TwoKindsLockTogether(t *testing.T) {
	t.Parallel()
	held := []verify.Held{
		{Credential: hotp(t), State: latchkey.CredentialState{Fails: 5}},
		{Credential: hotp(t), State: latchkey.CredentialState{Fails: 5}},
		{Credential: totp(t), State: latchkey.CredentialState{Fails: 4}},
	}
	if verify.LockedOut(held) {
		t.Error("nine failures lock")
	}
	held[2].State.Fails = 5
	if !verify.LockedOut(held) {
		t.Error("ten failures over two kinds do not lock")
	}
}

func TestUnknownKindNeverMatches(t *testing.T) {
	t.Parallel()
	c := hotp(t)
	c.Kind = "palm"
	if _, err := verify.Check(c, latchkey.CredentialState{}, typed("755224"), t0); !errors.Is(err, verify.ErrWrong) {
		t.Errorf("unknown kind: %v", err)
	}
	if _, err := verify.Check(latchkey.Credential{}, latchkey.CredentialState{}, latchkey.Answer{}, t0); !errors.Is(err, verify.ErrWrong) {
		t.Errorf("zero credential: %v", err)
	}
}

func TestOneThrottledCredentialThrottlesItsKind(t *testing.T) {
	t.Parallel()
	a, b := hotp(t), hotp(t)
	b.ID = "aut_2"
	held := []verify.Held{{Credential: a}, {Credential: b, State: latchkey.CredentialState{Fails: 5, RetryAt: t0.Add(time.Second)}}}
	if _, i, err := verify.CheckKind(held, latchkey.HOTP, typed("755224"), t0); !errors.Is(err, verify.ErrThrottled) || i != -1 {
		t.Errorf("a right code for the other one: %d, %v", i, err)
	}
}
