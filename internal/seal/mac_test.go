package seal_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"slices"
	"testing"

	"latchkey/internal/seal"
	"latchkey/internal/secret"
)

var macKey = secret.Bytes("0123456789abcdef0123456789abcdef")

func TestAMACIsHMACSHA256OverItsFieldsWithTheirLengths(t *testing.T) {
	t.Parallel()
	h := hmac.New(sha256.New, macKey)
	h.Write([]byte("\x00\x00\x00\x01d\x00\x00\x00\x02ab\x00\x00\x00\x00"))
	if got := seal.MAC(macKey, "d", []byte("ab"), nil); !bytes.Equal(got, h.Sum(nil)) {
		t.Errorf("got %x", got)
	}
}

func TestAMACFitsNothingElse(t *testing.T) {
	t.Parallel()
	ab, c := []byte("ab"), []byte("c")
	tag := seal.MAC(macKey, "latchkey/state/1", ab, c)
	if !seal.VerifyMAC(macKey, tag, "latchkey/state/1", ab, c) {
		t.Fatal("does not fit itself")
	}
	long := append(slices.Clone(tag), 0)
	for name, fits := range map[string]bool{
		"another domain":           seal.VerifyMAC(macKey, tag, "latchkey/state/2", ab, c),
		"no domain":                seal.VerifyMAC(macKey, tag, "", ab, c),
		"the domain as a part":     seal.VerifyMAC(macKey, tag, "", []byte("latchkey/state/1"), ab, c),
		"another boundary":         seal.VerifyMAC(macKey, tag, "latchkey/state/1", []byte("a"), []byte("bc")),
		"another order":            seal.VerifyMAC(macKey, tag, "latchkey/state/1", c, ab),
		"one part less":            seal.VerifyMAC(macKey, tag, "latchkey/state/1", ab),
		"an empty part more":       seal.VerifyMAC(macKey, tag, "latchkey/state/1", ab, c, nil),
		"another key":              seal.VerifyMAC(macKey[:16], tag, "latchkey/state/1", ab, c),
		"half a tag":               seal.VerifyMAC(macKey, tag[:16], "latchkey/state/1", ab, c),
		"a longer tag":             seal.VerifyMAC(macKey, long, "latchkey/state/1", ab, c),
		"no tag":                   seal.VerifyMAC(macKey, nil, "latchkey/state/1", ab, c),
		"no key and no tag":        seal.VerifyMAC(nil, nil, "latchkey/state/1", ab, c),
		"no key and its empty tag": seal.VerifyMAC(nil, seal.MAC(nil, "x"), "x"),
		"a short key":              seal.VerifyMAC(macKey[:15], seal.MAC(macKey[:15], "x"), "x"),
	} {
		if fits {
			t.Errorf("%s fits", name)
		}
	}
	for i := range tag {
		altered := slices.Clone(tag)
		altered[i] ^= 1
		if seal.VerifyMAC(macKey, altered, "latchkey/state/1", ab, c) {
			t.Errorf("byte %d altered unnoticed", i)
		}
	}
}
