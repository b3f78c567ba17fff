package otp

import (
	"crypto/sha1" // HMAC-SHA1 is what RFC 4226 prescribes and phones speak
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"hash"
	"strings"
)

// An Algorithm is the hash under the HMAC. The zero value is none and computes
// nothing.
type Algorithm int

// The algorithms of RFC 6238 section 1.2. HOTP as standardised knows SHA1 only;
// the others are in use with it all the same.
const (
	SHA1 Algorithm = iota + 1
	SHA256
	SHA512
)

// String returns the name that otpauth addresses use: "SHA1", "SHA256",
// "SHA512", or "unknown".
func (a Algorithm) String() string {
	switch a {
	case SHA1:
		return "SHA1"
	case SHA256:
		return "SHA256"
	case SHA512:
		return "SHA512"
	}
	return "unknown"
}

// ParseAlgorithm reads the spellings found in addresses, PSKC and CSV files:
// "SHA1", "sha-256", "HMAC-SHA512", "HmacSHA1". The error does not repeat name: it
// may be a secret in the wrong field.
func ParseAlgorithm(name string) (Algorithm, error) {
	plain := strings.ReplaceAll(strings.ToLower(name), "-", "") // upper case would fold "ſ" into S
	switch strings.TrimPrefix(plain, "hmac") {
	case "sha1":
		return SHA1, nil
	case "sha256":
		return SHA256, nil
	case "sha512":
		return SHA512, nil
	}
	return 0, errors.New("algorithm is not SHA1, SHA256 or SHA512")
}

func (a Algorithm) valid() bool { return a >= SHA1 && a <= SHA512 }

// secretSize is the length in bytes of a new secret: the hash's own output
// size, as in the reference keys of RFC 6238 appendix B.
func (a Algorithm) secretSize() int { return a.hash()().Size() }

func (a Algorithm) hash() func() hash.Hash {
	switch a {
	case SHA256:
		return sha256.New
	case SHA512:
		return sha512.New
	}
	return sha1.New
}
