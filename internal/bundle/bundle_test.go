package bundle_test

import (
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"latchkey"
	"latchkey/internal/bundle"
	"latchkey/internal/otp"
	"latchkey/internal/seal"
	"latchkey/internal/secret"
	"latchkey/internal/verify"
)

var (
	key20  = secret.Bytes("12345678901234567890")
	anchor = time.Date(2026, 11, 21, 9, 0, 7, 0, time.UTC)
)

func source(t testing.TB, kind latchkey.Kind, digits int) bundle.Source {
	g, err := otp.NewGenerator(key20, otp.SHA1, digits)
	if err != nil {
		t.Fatal(err)
	}
	s := bundle.Source{ID: latchkey.AuthenticatorID("aut_" + kind), Kind: kind, Digits: digits, Codes: g}
	if kind == latchkey.TOTP {
		s.Period, s.Window = 30, 1
	} else {
		s.Window, s.Quota = 35, 30
	}
	return s
}

func header() bundle.Header {
	p := latchkey.BuiltinPolicy()
	return bundle.Header{
		Deployment: "dep", Machine: "mch_1", User: "usr_1", Name: "ana", Version: 7,
		Status: bundle.Active, Policy: &p, Anchor: anchor.UnixMilli(),
	}
}

func open(t testing.TB, c bundle.Credential, raws []bundle.Raw) *bundle.Book {
	b, err := bundle.Open(c, func(sum string) (secret.Bytes, error) {
		for _, r := range raws {
			if r.SHA256 == sum {
				return r.Codes, nil
			}
		}
		return nil, errors.New("no such chunk")
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestNothingBeyondTheAnchor: whatever the days, the period and the time of the
// anchor, no code is issued that works after anchor plus days.
func TestNothingBeyondTheAnchor(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		at := time.Unix(rapid.Int64Range(1e9, 4e9).Draw(rt, "anchor"), 0)
		days := rapid.IntRange(1, 3).Draw(rt, "days")
		s := source(t, latchkey.TOTP, 6)
		s.Period = rapid.IntRange(60, otp.MaxPeriod).Draw(rt, "period")
		s.Window = rapid.IntRange(0, 2).Draw(rt, "window")
		h := header()
		h.Anchor = at.UnixMilli()
		h, raws := bundle.Pack(h, latchkey.Limit{Days: days}, []bundle.Source{s})
		last, ok := open(t, h.Credentials[0], raws).Last()
		end := time.Unix(int64(last+1)*int64(s.Period), 0)
		if horizon := at.AddDate(0, 0, days); !ok || end.After(horizon) || h.UntilTime().After(horizon) {
			rt.Fatalf("the last code ends %v, the horizon is %v", end, horizon)
		}
	})
}

func TestSevenDaysAreAll20160Steps(t *testing.T) {
	h, raws := bundle.Pack(header(), latchkey.Limit{Days: 7}, []bundle.Source{source(t, latchkey.TOTP, 6)})
	book := open(t, h.Credentials[0], raws)
	g, _ := otp.NewGenerator(key20, otp.SHA1, 6)
	first, n := otp.Step(anchor, 30), 0
	for step := first; ; step++ {
		v, ok := book.At(step)
		if !ok {
			break
		}
		if v != g.At(step) {
			t.Fatalf("step %d: %d, the token shows %d", step, v, g.At(step))
		}
		n++
	}
	if n != 7*2880 {
		t.Errorf("the book covers %d steps from the anchor on", n)
	}
}

func TestNothingIsIssued(t *testing.T) {
	src := []bundle.Source{source(t, latchkey.TOTP, 6), source(t, latchkey.HOTP, 6)}
	for name, change := range map[string]func(*bundle.Header, *latchkey.Limit){
		"to a disabled user":         func(h *bundle.Header, _ *latchkey.Limit) { h.Status = bundle.Disabled },
		"to a tombstone":             func(h *bundle.Header, _ *latchkey.Limit) { h.Status = bundle.Tombstoned },
		"to a status nobody knows":   func(h *bundle.Header, _ *latchkey.Limit) { h.Status = "" },
		"without a policy":           func(h *bundle.Header, _ *latchkey.Limit) { h.Policy = nil },
		"without an online MFA":      func(h *bundle.Header, _ *latchkey.Limit) { h.Anchor = 0 },
		"without days":               func(_ *bundle.Header, l *latchkey.Limit) { l.Days = 0 },
		"with a negative day number": func(_ *bundle.Header, l *latchkey.Limit) { l.Days = -1 },
	} {
		h, l := header(), latchkey.Limit{Days: 7}
		change(&h, &l)
		if h, raws := bundle.Pack(h, l, src); h.Enrolled || len(h.Credentials) > 0 || len(raws) > 0 {
			t.Errorf("%s, codes are issued", name)
		}
	}
}

// TestAskingAgainRenewsNothing: the codes depend on the anchor, not on when the
// machine asks.
func TestAskingAgainRenewsNothing(t *testing.T) {
	a, _ := bundle.Pack(header(), latchkey.Limit{Days: 7}, []bundle.Source{source(t, latchkey.TOTP, 6)})
	b, _ := bundle.Pack(header(), latchkey.Limit{Days: 7}, []bundle.Source{source(t, latchkey.TOTP, 6)})
	for i := range a.Credentials[0].Chunks {
		if a.Credentials[0].Chunks[i] != b.Credentials[0].Chunks[i] {
			t.Error("the same question gave other codes")
		}
	}
}

func TestA01VectorsThroughTheBook(t *testing.T) {
	h, raws := bundle.Pack(header(), latchkey.Limit{Days: 7}, []bundle.Source{source(t, latchkey.HOTP, 6)})
	c, s := h.Credentials[0], latchkey.CredentialState{}
	cred := latchkey.Credential{Kind: latchkey.HOTP, Digits: 6, Window: c.Window, Codes: open(t, c, raws)}
	for n, code := range []string{"755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489"} {
		var err error
		if s, err = verify.Check(cred, s, latchkey.Answer{Value: secret.Bytes(code)}, anchor); err != nil {
			t.Fatalf("counter %d: %v", n, err)
		}
	}
	if last, _ := cred.Codes.(*bundle.Book).Last(); last != 29 {
		t.Errorf("the quota is 30 codes, the last counter is %d", last)
	}
}

// What was used goes along to be recognised, and is never offered as unused: the
// floor of a header is where the server is, whatever its codes begin with.
func TestUsedTokenCodesAreBelowTheFloor(t *testing.T) {
	for _, tc := range []struct{ next, from uint64 }{{0, 0}, {4, 0}, {10, 0}, {500, 490}} {
		s := source(t, latchkey.HOTP, 6)
		s.Next, s.Used = tc.next, 10
		h, raws := bundle.Pack(header(), latchkey.Limit{Days: 7}, []bundle.Source{s})
		c := h.Credentials[0]
		last, _ := open(t, c, raws).Last()
		if c.Next != tc.next || c.Chunks[0].From != tc.from || last != tc.next+29 {
			t.Errorf("next %d: floor %d, codes %d to %d", tc.next, c.Next, c.Chunks[0].From, last)
		}
		cred := latchkey.Credential{Kind: latchkey.HOTP, Digits: 6, Window: c.Window, Codes: open(t, c, raws)}
		for n := tc.from; n < tc.next; n++ {
			code := otp.Format(s.Codes.At(n), 6)
			_, err := verify.Check(cred, latchkey.CredentialState{Next: c.Next}, latchkey.Answer{Value: secret.Bytes(code)}, anchor)
			if !errors.Is(err, verify.ErrReplayed) {
				t.Errorf("next %d: code %d: %v", tc.next, n, err)
			}
		}
	}
}

func TestA02EightDigitsThroughTheBook(t *testing.T) {
	for at, code := range map[int64]string{1111111111: "14050471", 1234567890: "89005924", 2000000000: "69279037", 20000000000: "65353130"} {
		now := time.Unix(at, 0)
		h := header()
		h.Anchor = now.Add(-time.Hour).UnixMilli()
		h, raws := bundle.Pack(h, latchkey.Limit{Days: 1}, []bundle.Source{source(t, latchkey.TOTP, 8)})
		c := h.Credentials[0]
		cred := latchkey.Credential{Kind: latchkey.TOTP, Digits: 8, Period: 30, Window: 1, Codes: open(t, c, raws)}
		if _, err := verify.Check(cred, latchkey.CredentialState{}, latchkey.Answer{Value: secret.Bytes(code)}, now); err != nil {
			t.Errorf("at %d: %v", at, err)
		}
	}
}

func TestAlteredChunksAreRefused(t *testing.T) {
	h, raws := bundle.Pack(header(), latchkey.Limit{Days: 2}, []bundle.Source{source(t, latchkey.TOTP, 6)})
	for name, change := range map[string]func(secret.Bytes) (secret.Bytes, error){
		"one bit":  func(b secret.Bytes) (secret.Bytes, error) { b = b.Clone(); b[10] ^= 1; return b, nil },
		"shorter":  func(b secret.Bytes) (secret.Bytes, error) { return b[3:], nil },
		"empty":    func(secret.Bytes) (secret.Bytes, error) { return nil, nil },
		"no chunk": func(secret.Bytes) (secret.Bytes, error) { return nil, errors.New("gone") },
	} {
		_, err := bundle.Open(h.Credentials[0], func(sum string) (secret.Bytes, error) {
			for _, r := range raws[1:] {
				if r.SHA256 == sum {
					return r.Codes, nil
				}
			}
			return change(raws[0].Codes)
		})
		if err == nil {
			t.Errorf("%s: the book opens", name)
		}
	}
}

func TestSealedForOneMachineUserAndVersion(t *testing.T) {
	pub, priv, _ := ed25519.GenerateKey(rand.Reader)
	keys, _ := seal.NewKeySet(pub)
	mine, _ := ecdh.P256().GenerateKey(rand.Reader)
	other, _ := ecdh.P256().GenerateKey(rand.Reader)
	h, raws := bundle.Pack(header(), latchkey.Limit{Days: 1}, []bundle.Source{source(t, latchkey.TOTP, 6)})
	sealed, err := bundle.SealHeader(h, priv, mine.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	got, err := bundle.OpenHeader(sealed, mine, keys, "dep", "mch_1", "usr_1", 7)
	if err != nil || got.Until != h.Until || len(got.Credentials) != 1 {
		t.Fatalf("its own machine cannot open it: %v", err)
	}
	_, err1 := bundle.OpenHeader(sealed, other, keys, "dep", "mch_1", "usr_1", 7)
	_, err2 := bundle.OpenHeader(sealed, mine, keys, "dep", "mch_2", "usr_1", 7)
	_, err3 := bundle.OpenHeader(sealed, mine, keys, "dep", "mch_1", "usr_2", 7)
	_, err4 := bundle.OpenHeader(sealed, mine, keys, "dep", "mch_1", "usr_1", 8)
	_, err5 := bundle.OpenHeader(sealed, mine, seal.KeySet{}, "dep", "mch_1", "usr_1", 7)
	for i, err := range []error{err1, err2, err3, err4, err5} {
		if err == nil {
			t.Errorf("H07 case %d: a foreign header opens", i+1)
		}
	}
	chunk, err := bundle.SealChunk(h, raws[0], mine.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	if codes, err := bundle.OpenChunk(chunk, mine, "dep", "mch_1", "usr_1", raws[0].SHA256); err != nil || !codes.Equal(raws[0].Codes) {
		t.Errorf("the chunk does not open: %v", err)
	}
	if _, err := bundle.OpenChunk(chunk, mine, "dep", "mch_1", "usr_2", raws[0].SHA256); err == nil {
		t.Error("another user's chunk opens")
	}
}

func BenchmarkSevenDayBundle(b *testing.B) {
	_, priv, _ := ed25519.GenerateKey(rand.Reader)
	key, _ := ecdh.P256().GenerateKey(rand.Reader)
	size := 0
	for b.Loop() {
		h, raws := bundle.Pack(header(), latchkey.Limit{Days: 7}, []bundle.Source{source(b, latchkey.TOTP, 6)})
		sealed, err := bundle.SealHeader(h, priv, key.PublicKey())
		if err != nil {
			b.Fatal(err)
		}
		size = len(sealed)
		for _, r := range raws {
			chunk, err := bundle.SealChunk(h, r, key.PublicKey())
			if err != nil {
				b.Fatal(err)
			}
			size += len(chunk)
		}
	}
	b.ReportMetric(float64(size), "bytes")
}
