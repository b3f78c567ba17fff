package api

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

var (
	pin       = bytes.Repeat([]byte{7}, 32)
	rawSecret = bytes.Repeat([]byte{9}, TokenSecretSize)
)

func token(t testing.TB) string {
	t.Helper()
	_, text, err := NewToken([]string{"https://mfa.example.org:8444"}, pin, rawSecret, time.Unix(1790000000, 0))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestATokenSurvivesTheMail(t *testing.T) {
	t.Parallel()
	text := token(t)
	want, err := ParseToken(text)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want.PinBytes(), pin) || want.ExpiresAt().Unix() != 1790000000 || want.URLs[0] != "https://mfa.example.org:8444" {
		t.Errorf("got %+v", want)
	}
	for name, spelling := range map[string]string{
		"with a newline":     text + "\n",
		"broken into lines":  text[:40] + "\r\n  " + text[40:],
		"with spaces around": "  " + text + "  ",
	} {
		if got, err := ParseToken(spelling); err != nil || got.Secret != want.Secret {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestParseTokenSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	text := token(t)
	flip := func(i int) string {
		b := []byte(text)
		if b[i] == 'A' {
			b[i] = 'B'
		} else {
			b[i] = 'A'
		}
		return string(b)
	}
	for name, tc := range map[string]struct{ text, want string }{
		"nothing":               {"", "no enrollment token"},
		"another word":          {"hello", "no enrollment token"},
		"an API token":          {"0123456789abcdefghjkmn", "no enrollment token"},
		"only the prefix":       {tokenPrefix, "cut off"},
		"cut off":               {text[:len(text)-9], "cut off"},
		"cut off a lot":         {text[:10], "cut off"},
		"without its beginning": {"x" + text, "something before"},
		"a wrong character":     {flip(50), "altered"},
		"not base64":            {text[:20] + "*" + text[21:], "cut off or altered"},
		"endless":               {text + strings.Repeat("A", maxToken), "too long"},
	} {
		_, err := ParseToken(tc.text)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want %q", name, err, tc.want)
		}
		if err != nil && len(tc.text) > 12 && strings.Contains(err.Error(), tc.text[4:12]) {
			t.Errorf("%s: the error repeats the token", name)
		}
	}
}

func TestNewTokenRefuses(t *testing.T) {
	t.Parallel()
	at := time.Unix(1790000000, 0)
	for name, try := range map[string]func() error{
		"plain http":     func() error { _, _, err := NewToken([]string{"http://a"}, pin, rawSecret, at); return err },
		"no server":      func() error { _, _, err := NewToken(nil, pin, rawSecret, at); return err },
		"no pin":         func() error { _, _, err := NewToken([]string{"https://a"}, nil, rawSecret, at); return err },
		"a short secret": func() error { _, _, err := NewToken([]string{"https://a"}, pin, rawSecret[1:], at); return err },
		"a password":     func() error { _, _, err := NewToken([]string{"https://a:b@c"}, pin, rawSecret, at); return err },
	} {
		if try() == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

func FuzzParseToken(f *testing.F) {
	f.Add(token(f))
	f.Add(tokenPrefix + "AAAA")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := ParseToken(text)
		if err == nil && got.check() != nil {
			t.Error("an unusable token was taken")
		}
	})
}
