package seal_test

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"testing"

	"latchkey/internal/seal"
)

func TestATokenIsItsRandomBytesInCrockfordsBase32(t *testing.T) {
	t.Parallel()
	// 14 bytes are 22 characters of 5 bits and 2 bits more.
	source := append([]byte{0x00, 0x44, 0x32, 0x14, 0xc7, 0xff}, make([]byte, 8)...)
	got, err := seal.Token(bytes.NewReader(source), seal.MinToken)
	if want := "01234567" + "zw" + strings.Repeat("0", 13); err != nil || got != want {
		t.Errorf("got %s, want %s, %v", got, want, err)
	}
	seen := map[string]bool{}
	for range 100 {
		token, err := seal.Token(rand.Reader, 32)
		if err != nil || len(token) != 52 || seen[token] || strings.Trim(token, "0123456789abcdefghjkmnpqrstvwxyz") != "" {
			t.Fatalf("token %s, %v", token, err)
		}
		seen[token] = true
	}
}

func TestAWeakTokenIsNotMade(t *testing.T) {
	t.Parallel()
	for _, n := range []int{-1, 0, 13, 65} {
		if got, err := seal.Token(rand.Reader, n); err == nil {
			t.Errorf("%d bytes gave %s", n, got)
		}
	}
	if got, err := seal.Token(bytes.NewReader(make([]byte, 15)), 16); !errors.Is(err, io.ErrUnexpectedEOF) || got != "" {
		t.Errorf("a source that ends early gave %q, %v", got, err)
	}
}

// The hash is stored: changing it would lock out every token ever issued.
func TestTheHashOfATokenStaysWhatItWas(t *testing.T) {
	t.Parallel()
	const want = "5112e1647f0f28dc3d4172f9b88981341f54d0552e2e5674e601d9f1f21237ad"
	if got := hex.EncodeToString(seal.HashToken("01234567zw0000000000000")); got != want {
		t.Errorf("got %s", got)
	}
	if bytes.Equal(seal.HashToken("a"), seal.HashToken("A")) {
		t.Error("case does not count")
	}
}
