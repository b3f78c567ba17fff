// Package otp computes one-time codes: HOTP (RFC 4226) and TOTP (RFC 6238),
// their keys, and the otpauth:// addresses that carry a key to a phone. It
// decides nothing: windows, replays and throttling belong to the caller. It
// refuses keys weaker than the RFCs allow, and reads neither clock nor random
// source of its own.
package otp

import (
	"crypto/hmac"
	"encoding/binary"
	"fmt"
	"hash"
	"time"

	"latchkey/internal/secret"
)

// Limits on what is accepted as a key. RFC 4226 R6 asks for 128 bits of
// secret; NIST SP 800-63B 3.1.4.1 for six digits and a new code every two
// minutes at the latest. Nine and ten digits would not fit a person.
const (
	MinSecret = 16  // bytes
	MaxSecret = 128 // bytes, the block size of SHA-512: longer keys gain nothing
	MinDigits = 6
	MaxDigits = 8
	MinPeriod = 15  // seconds
	MaxPeriod = 120 // seconds

	// MaxCounter is the highest HOTP counter that a key may begin with. The
	// moving factor has 64 bits, but databases count with a sign, and everybody
	// adds windows to it: from here no token gets to where that would wrap.
	MaxCounter = 1 << 62
	// LastCounter is the last one that is accepted, of keys too that were added
	// when the limit was higher. What is added to a counter is far less than what
	// is left above it.
	LastCounter = 1<<63 - 1<<20
)

var powers = [MaxDigits + 1]uint32{1, 10, 100, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8}

// A Generator computes many codes of one key; it sets up the HMAC once. It is
// not safe for concurrent use. Make it with NewGenerator.
type Generator struct {
	mac     hash.Hash
	modulus uint32
	message [8]byte
	sum     []byte
}

// NewGenerator returns the generator for a key. The secret is copied into the
// HMAC's state. It fails when secret, algorithm or digits are outside the
// limits of this package.
func NewGenerator(key secret.Bytes, alg Algorithm, digits int) (*Generator, error) {
	if err := checkCode(key, alg, digits); err != nil {
		return nil, err
	}
	return &Generator{
		mac:     hmac.New(alg.hash(), key),
		modulus: powers[digits],
		sum:     make([]byte, 0, 64),
	}, nil
}

// At returns the code of one counter (HOTP) or time step (TOTP), below
// 10^digits; Format writes it with its leading zeros.
func (g *Generator) At(counter uint64) uint32 {
	binary.BigEndian.PutUint64(g.message[:], counter)
	g.mac.Reset()
	g.mac.Write(g.message[:])
	g.sum = g.mac.Sum(g.sum[:0])
	return truncate(g.sum) % g.modulus
}

// truncate is the dynamic truncation of RFC 4226 section 5.3: 31 bits from
// where the last nibble points.
func truncate(sum []byte) uint32 {
	offset := sum[len(sum)-1] & 0x0f
	return binary.BigEndian.Uint32(sum[offset:]) & 0x7fffffff
}

// Code returns one code, below 10^digits. For more than one of the same key
// use a Generator.
func Code(key secret.Bytes, counter uint64, alg Algorithm, digits int) (uint32, error) {
	g, err := NewGenerator(key, alg, digits)
	if err != nil {
		return 0, err
	}
	return g.At(counter), nil
}

// Format writes a code in decimal with leading zeros.
func Format(code uint32, digits int) string {
	return fmt.Sprintf("%0*d", digits, code)
}

// Step returns the TOTP time step of t: whole periods (in seconds) since 1970
// (RFC 6238 section 4.2, T0 = 0). A time before 1970 and a period below 1 give
// step 0, which lies before every code that was ever accepted.
func Step(t time.Time, period int) uint64 {
	now := t.Unix()
	if now < 0 || period < 1 {
		return 0
	}
	return uint64(now) / uint64(period)
}
