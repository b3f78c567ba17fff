package otp_test

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"latchkey/internal/otp"
	"latchkey/internal/secret"
)

// oathtool is the independent implementation these codes are compared with.
func oathtool(t *testing.T, args ...string) string {
	t.Helper()
	path, err := exec.LookPath("oathtool")
	if err != nil {
		t.Fatal("oathtool is missing: install it (Debian, Ubuntu: apt-get install oathtool)")
	}
	out, err := exec.Command(path, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("oathtool: %v: %s", err, out)
	}
	return strings.TrimSpace(string(out))
}

// randomKey returns a key anywhere inside the limits. Its randomness is fixed:
// a failure comes back.
func randomKey(r *rand.Rand) otp.Key {
	k := otp.Key{
		Secret:    make(secret.Bytes, otp.MinSecret+r.IntN(otp.MaxSecret-otp.MinSecret+1)),
		Algorithm: otp.SHA1 + otp.Algorithm(r.IntN(3)),
		Digits:    otp.MinDigits + r.IntN(3),
		Period:    otp.MinPeriod + r.IntN(otp.MaxPeriod-otp.MinPeriod+1),
	}
	for i := range k.Secret {
		k.Secret[i] = byte(r.Uint32())
	}
	return k
}

func TestA15TOTPAgreesWithOathtool(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for range 40 {
		k := randomKey(r)
		at := time.Unix(r.Int64N(1<<32), 0).UTC()
		want := strings.Fields(oathtool(t, "--totp="+k.Algorithm.String(), "--digits="+strconv.Itoa(k.Digits),
			fmt.Sprintf("--time-step-size=%ds", k.Period), "--now="+at.Format("2006-01-02 15:04:05 UTC"),
			"--window=9", hex.EncodeToString(k.Secret)))
		g, first := generator(t, k.Secret, k.Algorithm, k.Digits), otp.Step(at, k.Period)
		if len(want) != 10 {
			t.Fatalf("oathtool gave %d codes", len(want))
		}
		for i, w := range want {
			if got := otp.Format(g.At(first+uint64(i)), k.Digits); got != w {
				t.Fatalf("%v, %d digits, period %d, at %v + %d: %s, oathtool says %s", k.Algorithm, k.Digits, k.Period, at, i, got, w)
			}
		}
	}
}

func TestA20HOTPAgreesWithOathtoolAtEveryCounter(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 4))
	for _, start := range []uint64{0, 1<<31 - 2, 1<<32 - 2, 1<<48 + 7, 1<<63 - 5} {
		k := randomKey(r)
		want := strings.Fields(oathtool(t, "--hotp", "--digits="+strconv.Itoa(k.Digits),
			"--counter="+strconv.FormatUint(start, 10), "--window=4", hex.EncodeToString(k.Secret)))
		g := generator(t, k.Secret, otp.SHA1, k.Digits)
		if len(want) != 5 {
			t.Fatalf("oathtool gave %d codes", len(want))
		}
		for i, w := range want {
			if got := otp.Format(g.At(start+uint64(i)), k.Digits); got != w {
				t.Errorf("counter %d: %s, oathtool says %s", start+uint64(i), got, w)
			}
		}
	}
}
