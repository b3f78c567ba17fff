package otp_test

import (
	"fmt"
	"testing"
	"time"

	"latchkey/internal/otp"
	"latchkey/internal/secret"
)

// The keys of RFC 4226 appendix D and RFC 6238 appendix B: the digits 1 to 0
// repeated. The RFC's text names only the first; its reference code the others.
var (
	key20 = secret.Bytes("12345678901234567890")
	key32 = secret.Bytes("12345678901234567890123456789012")
	key64 = secret.Bytes("1234567890123456789012345678901234567890123456789012345678901234")
)

func generator(t testing.TB, key secret.Bytes, alg otp.Algorithm, digits int) *otp.Generator {
	t.Helper()
	g, err := otp.NewGenerator(key, alg, digits)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestA01HOTPIsThatOfRFC4226AppendixD(t *testing.T) {
	t.Parallel()
	g := generator(t, key20, otp.SHA1, 6)
	for counter, want := range []string{
		"755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489",
	} {
		if got := otp.Format(g.At(uint64(counter)), 6); got != want {
			t.Errorf("counter %d: %s, want %s", counter, got, want)
		}
	}
}

func TestTOTPIsThatOfRFC6238AppendixB(t *testing.T) {
	t.Parallel()
	seconds := []int64{59, 1111111109, 1111111111, 1234567890, 2000000000, 20000000000}
	for name, tc := range map[string]struct {
		key  secret.Bytes
		alg  otp.Algorithm
		want []string
	}{
		"A02 SHA1":   {key20, otp.SHA1, []string{"94287082", "07081804", "14050471", "89005924", "69279037", "65353130"}},
		"A03 SHA256": {key32, otp.SHA256, []string{"46119246", "68084774", "67062674", "91819424", "90698825", "77737706"}},
		"A04 SHA512": {key64, otp.SHA512, []string{"90693936", "25091201", "99943326", "93441116", "38618901", "47863826"}},
		"A05 SHA256 with a key of 20 bytes, taken at its length": {key20, otp.SHA256, []string{"32247374"}},
		"A05 SHA512 with a key of 20 bytes, taken at its length": {key20, otp.SHA512, []string{"69342147"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for i, want := range tc.want {
				step := otp.Step(time.Unix(seconds[i], 0), 30)
				code, err := otp.Code(tc.key, step, tc.alg, 8)
				if err != nil {
					t.Fatal(err)
				}
				if got := otp.Format(code, 8); got != want {
					t.Errorf("at %d: %s, want %s", seconds[i], got, want)
				}
			}
		})
	}
}

func TestStepCountsWholePeriodsSince1970(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		at     int64
		period int
		want   uint64
	}{
		"the first second is step 0":       {0, 30, 0},
		"the last second of a step":        {29, 30, 0},
		"the first second of the next":     {30, 30, 1},
		"a step of a minute":               {120, 60, 2},
		"the largest time of RFC 6238":     {20000000000, 30, 0x27BC86AA},
		"before 1970 is step 0":            {-1, 30, 0},
		"long before 1970 is step 0":       {-1 << 40, 30, 0},
		"a period of 0 is step 0":          {1e9, 0, 0},
		"a negative period is step 0":      {1e9, -30, 0},
		"the year 292277026596 is no wrap": {1<<62 + 29, 30, (1<<62 + 29) / 30},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := otp.Step(time.Unix(tc.at, 0), tc.period); got != tc.want {
				t.Errorf("got %d, want %d", got, tc.want)
			}
		})
	}
	if got := otp.Step(time.Time{}, 30); got != 0 {
		t.Errorf("the zero time is step %d", got)
	}
}

func TestAGeneratorDoesNotRememberItsLastCode(t *testing.T) {
	t.Parallel()
	key := key20.Clone()
	g := generator(t, key, otp.SHA1, 6)
	key.Wipe() // the caller's bytes are not the generator's
	for _, counter := range []uint64{9, 0, 5, 5, 1} {
		want, err := otp.Code(key20, counter, otp.SHA1, 6)
		if err != nil {
			t.Fatal(err)
		}
		if got := g.At(counter); got != want {
			t.Errorf("counter %d: %d, want %d", counter, got, want)
		}
	}
}

func TestA16NoCodeIsComputedOutsideTheLimits(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		key    secret.Bytes
		alg    otp.Algorithm
		digits int
	}{
		"secret of 15 bytes":  {key20[:15], otp.SHA1, 6},
		"no secret":           {nil, otp.SHA1, 6},
		"secret of 129 bytes": {make(secret.Bytes, 129), otp.SHA1, 6},
		"no algorithm":        {key20, 0, 6},
		"unknown algorithm":   {key20, otp.SHA512 + 1, 6},
		"5 digits":            {key20, otp.SHA1, 5},
		"9 digits":            {key20, otp.SHA1, 9},
		"10 digits":           {key20, otp.SHA1, 10},
		"no digits":           {key20, otp.SHA1, 0},
		"negative digits":     {key20, otp.SHA1, -6},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if code, err := otp.Code(tc.key, 0, tc.alg, tc.digits); err == nil {
				t.Errorf("computed %d", code)
			}
		})
	}
}

func TestA13FormatKeepsLeadingZeros(t *testing.T) {
	t.Parallel()
	for want, tc := range map[string]struct {
		code   uint32
		digits int
	}{"07081804": {7081804, 8}, "000000": {0, 6}, "0000042": {42, 7}, "999999": {999999, 6}} {
		if got := otp.Format(tc.code, tc.digits); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestAlgorithmNames(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]otp.Algorithm{
		"SHA1": otp.SHA1, "SHA-1": otp.SHA1, "sha1": otp.SHA1, "HmacSHA1": otp.SHA1,
		"sha256": otp.SHA256, "SHA-256": otp.SHA256, "HMAC-SHA256": otp.SHA256,
		"Sha512": otp.SHA512, "HMAC-SHA-512": otp.SHA512,
	} {
		if got, err := otp.ParseAlgorithm(name); err != nil || got != want {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	for _, name := range []string{"", "MD5", "SHA", "SHA224", "SHA2", "SHA 1", "SHA1 ", "HMAC", "\u017fha1"} {
		if got, err := otp.ParseAlgorithm(name); err == nil {
			t.Errorf("%q is %v", name, got)
		}
	}
	for _, alg := range []otp.Algorithm{otp.SHA1, otp.SHA256, otp.SHA512} {
		if got, err := otp.ParseAlgorithm(fmt.Sprint(alg)); err != nil || got != alg {
			t.Errorf("%v does not read its own name: %v, %v", alg, got, err)
		}
	}
}

// A machine's book for a week of 30-second steps has 20,160 codes; the server
// makes one per credential and machine.
func BenchmarkCodebookOfAWeek(b *testing.B) {
	for name, tc := range map[string]struct {
		key secret.Bytes
		alg otp.Algorithm
	}{"SHA1": {key20, otp.SHA1}, "SHA256": {key32, otp.SHA256}, "SHA512": {key64, otp.SHA512}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				g, err := otp.NewGenerator(tc.key, tc.alg, 6)
				if err != nil {
					b.Fatal(err)
				}
				for step := range uint64(20160) {
					g.At(58_000_000 + step)
				}
			}
		})
	}
}
