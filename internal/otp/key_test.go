package otp_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"latchkey/internal/otp"
	"latchkey/internal/secret"
)

func totpKey() otp.Key {
	return otp.Key{Kind: otp.TOTP, Secret: key20, Algorithm: otp.SHA1, Digits: 6, Period: 30, Issuer: "ACME", Account: "ana"}
}

func hotpKey() otp.Key {
	return otp.Key{Kind: otp.HOTP, Secret: key20, Algorithm: otp.SHA1, Digits: 6, Counter: 7, Account: "ana"}
}

func TestA16AKeyIsHeldToItsLimits(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		edit func(*otp.Key)
		want string // part of the error; empty: accepted
	}{
		"as it is":                        {func(k *otp.Key) {}, ""},
		"secret of 16 bytes":              {func(k *otp.Key) { k.Secret = key20[:16] }, ""},
		"secret of 128 bytes":             {func(k *otp.Key) { k.Secret = make(secret.Bytes, 128) }, ""},
		"period of 15":                    {func(k *otp.Key) { k.Period = 15 }, ""},
		"period of 120":                   {func(k *otp.Key) { k.Period = 120 }, ""},
		"no account":                      {func(k *otp.Key) { k.Account = "" }, ""},
		"secret of 15 bytes":              {func(k *otp.Key) { k.Secret = key20[:15] }, "15 bytes, the least is 16"},
		"secret of 10 bytes":              {func(k *otp.Key) { k.Secret = key20[:10] }, "10 bytes, the least is 16"},
		"secret of 129 bytes":             {func(k *otp.Key) { k.Secret = make(secret.Bytes, 129) }, "the most is 128"},
		"period of 300":                   {func(k *otp.Key) { k.Period = 300 }, "must be 15 to 120"},
		"period of 14":                    {func(k *otp.Key) { k.Period = 14 }, "must be 15 to 120"},
		"no period":                       {func(k *otp.Key) { k.Period = 0 }, "must be 15 to 120"},
		"5 digits":                        {func(k *otp.Key) { k.Digits = 5 }, "must be 6 to 8"},
		"10 digits":                       {func(k *otp.Key) { k.Digits = 10 }, "must be 6 to 8"},
		"no kind":                         {func(k *otp.Key) { k.Kind = 0 }, "neither"},
		"unknown kind":                    {func(k *otp.Key) { k.Kind = 3 }, "neither"},
		"no algorithm":                    {func(k *otp.Key) { k.Algorithm = 0 }, "SHA1"},
		"A20 counter 2^31":                {func(k *otp.Key) { k.Kind, k.Counter = otp.HOTP, 1<<31 }, ""},
		"A20 counter 2^32":                {func(k *otp.Key) { k.Kind, k.Counter = otp.HOTP, 1<<32 }, ""},
		"A20 counter 2^62":                {func(k *otp.Key) { k.Kind, k.Counter = otp.HOTP, 1<<62 }, ""},
		"A20 counter 2^62+1":              {func(k *otp.Key) { k.Kind, k.Counter = otp.HOTP, 1<<62+1 }, "is above"},
		"A20 counter 2^63-1":              {func(k *otp.Key) { k.Kind, k.Counter = otp.HOTP, 1<<63-1 }, "is above"},
		"A20 counter 2^63":                {func(k *otp.Key) { k.Kind, k.Counter = otp.HOTP, 1<<63 }, "is above"},
		"issuer of 256 bytes":             {func(k *otp.Key) { k.Issuer = strings.Repeat("x", 256) }, ""},
		"issuer of 257 bytes":             {func(k *otp.Key) { k.Issuer = strings.Repeat("x", 257) }, "issuer has 257 bytes"},
		"account with a line break":       {func(k *otp.Key) { k.Account = "a\nb" }, "control character"},
		"account with a space at the end": {func(k *otp.Key) { k.Account = "ana " }, "space"},
		"issuer that is not UTF-8":        {func(k *otp.Key) { k.Issuer = "\xff" }, "UTF-8"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := totpKey()
			tc.edit(&k)
			err := k.Validate()
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("error %v, want %q", err, tc.want)
			}
		})
	}
	if (otp.Key{}).Validate() == nil {
		t.Error("the zero key is valid")
	}
}

func TestAKeyPrintsWithoutItsSecret(t *testing.T) {
	t.Parallel()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		got := fmt.Sprintf(verb, totpKey())
		if strings.Contains(got, "1234") || strings.Contains(got, "49 50") || strings.Contains(got, "3132") || !strings.Contains(got, secret.Mask) {
			t.Errorf("%s prints %s", verb, got)
		}
	}
}

func TestNewSecretHasTheLengthOfRFC6238(t *testing.T) {
	t.Parallel()
	for alg, want := range map[otp.Algorithm]int{otp.SHA1: 20, otp.SHA256: 32, otp.SHA512: 64} {
		source := bytes.Repeat([]byte{1, 2, 3, 4}, 16)
		got, err := otp.NewSecret(bytes.NewReader(source), alg)
		if err != nil || !got.Equal(source[:want]) {
			t.Errorf("%v: %d bytes, %v", alg, len(got), err)
		}
	}
	if _, err := otp.NewSecret(bytes.NewReader(make([]byte, 19)), otp.SHA1); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a source that ends early: %v", err)
	}
	if s, err := otp.NewSecret(iotest.ErrReader(errors.New("no entropy")), otp.SHA1); err == nil || s != nil {
		t.Errorf("a broken source: %v, %v", s, err)
	}
	if _, err := otp.NewSecret(bytes.NewReader(make([]byte, 64)), 0); err == nil {
		t.Error("no algorithm gave a secret")
	}
}

func TestA17Base32AsPeopleTypeIt(t *testing.T) {
	t.Parallel()
	const upper = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
	if got := otp.Base32(key20); got != upper {
		t.Fatalf("wrote %s", got)
	}
	for name, text := range map[string]string{
		"upper case":            upper,
		"lower case":            strings.ToLower(upper),
		"groups of four":        "gezd gnbv gy3t qojq gezd gnbv gy3t qojq",
		"with dashes":           "GEZDGNBV-GY3TQOJQ-GEZDGNBV-GY3TQOJQ",
		"with no-break spaces":  "GEZDGNBVGY3TQOJQ\u00a0GEZDGNBV\u202fGY3TQOJQ",
		"with spaces around it": " " + upper + "\t",
	} {
		if got, err := otp.ParseBase32(text); err != nil || !got.Equal(key20) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, text := range []string{"GEZDGNBVGY3TQOJQGEZDGNBVGY======", "GEZDGNBVGY3TQOJQGEZDGNBVGY"} {
		if got, err := otp.ParseBase32(text); err != nil || !got.Equal(key20[:16]) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestA17TextThatIsNotBase32IsRefusedAndNotRepeated(t *testing.T) {
	t.Parallel()
	const good = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
	for name, tc := range map[string]struct{ text, want string }{
		"digit 1":              {"1" + good[1:], "character 1 "},
		"digit 0":              {good[:7] + "0" + good[8:], "character 8 "},
		"digit 8":              {good[:31] + "8", "character 32 "},
		"digit 9":              {"9" + good[1:], "not base32"},
		"line break":           {good[:16] + "\n" + good[16:], "not base32"},
		"full-width letter":    {"Ａ" + good[1:], "not base32"},
		"long s, a letter too": {"\u017f" + good[1:], "not base32"},
		"one character short":  {good[:30], "cut off"},
		"one character":        {"A", "cut off"},
		"three characters":     {"AAA", "cut off"},
		"too little padding":   {"GEZDGNBVGY3TQOJQGEZDGNBVGY=====", "padding"},
		"too much padding":     {good + "========", "padding"},
		"padding in between":   {"GEZDGNBVGY======GEZDGNBV", "follows the padding"},
		"far too long":         {strings.Repeat("A", 513), "too long"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := otp.ParseBase32(tc.text)
			if err == nil || got != nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("got %d bytes, error %v, want %q", len(got), err, tc.want)
			}
			if strings.Contains(err.Error(), "GEZD") {
				t.Errorf("the error repeats the secret: %v", err)
			}
		})
	}
}
