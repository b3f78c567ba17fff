package otp

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"latchkey/internal/secret"
)

// A Kind says what moves from code to code. The zero value is neither kind.
type Kind int

// The two kinds of key.
const (
	HOTP Kind = iota + 1 // a counter, RFC 4226
	TOTP                 // time, RFC 6238
)

// String returns the name that otpauth addresses use: "hotp", "totp", or
// "unknown".
func (k Kind) String() string {
	switch k {
	case HOTP:
		return "hotp"
	case TOTP:
		return "totp"
	}
	return "unknown"
}

// MaxLabel is the length of an issuer or account in bytes: together with the
// longest secret the address must still fit a QR code.
const MaxLabel = 256

// A Key is everything that determines a token's codes, and its label. Call
// Validate on a Key that came from outside.
type Key struct {
	Kind      Kind
	Secret    secret.Bytes
	Algorithm Algorithm
	Digits    int
	Period    int    // TOTP: seconds per step; else 0
	Counter   uint64 // HOTP: the counter of the next code; else 0
	Issuer    string // who asks for the code; may be empty
	Account   string // whose code it is; may be empty, except in an address
}

// Validate refuses a key outside the limits of this package; the error names
// the limit, never the secret.
func (k Key) Validate() error {
	if err := checkCode(k.Secret, k.Algorithm, k.Digits); err != nil {
		return err
	}
	if err := k.checkMoving(); err != nil {
		return err
	}
	if err := checkLabel("issuer", k.Issuer); err != nil {
		return err
	}
	return checkLabel("account", k.Account)
}

// checkMoving looks at what moves the codes along, by kind.
func (k Key) checkMoving() error {
	switch k.Kind {
	case TOTP:
		return checkPeriod(k.Period)
	case HOTP:
		return checkCounter(k.Counter)
	}
	return errors.New("key is neither hotp nor totp")
}

func checkCode(key secret.Bytes, alg Algorithm, digits int) error {
	switch {
	case len(key) < MinSecret:
		return fmt.Errorf("secret has %d bytes, the least is %d (RFC 4226 R6)", len(key), MinSecret)
	case len(key) > MaxSecret:
		return fmt.Errorf("secret has %d bytes, the most is %d", len(key), MaxSecret)
	case !alg.valid():
		return errors.New("algorithm is not SHA1, SHA256 or SHA512")
	case digits < MinDigits || digits > MaxDigits:
		return fmt.Errorf("digits must be %d to %d", MinDigits, MaxDigits)
	}
	return nil
}

func checkPeriod(seconds int) error {
	if seconds < MinPeriod || seconds > MaxPeriod {
		return fmt.Errorf("period must be %d to %d seconds", MinPeriod, MaxPeriod)
	}
	return nil
}

func checkCounter(c uint64) error {
	if c > MaxCounter {
		return fmt.Errorf("counter is above %d: the token is at its end, take a new secret", uint64(MaxCounter))
	}
	return nil
}

// checkLabel refuses what a phone would show wrongly or an address could not
// carry there and back.
func checkLabel(what, s string) error {
	switch {
	case len(s) > MaxLabel:
		return fmt.Errorf("%s has %d bytes, the most is %d", what, len(s), MaxLabel)
	case !utf8.ValidString(s):
		return fmt.Errorf("%s is not valid UTF-8", what)
	case strings.ContainsFunc(s, unicode.IsControl):
		return fmt.Errorf("%s holds a control character", what)
	case s != strings.TrimSpace(s):
		return fmt.Errorf("%s begins or ends with a space", what)
	}
	return nil
}

// NewSecret reads a new secret from rand: 20 bytes for SHA1, 32 for SHA256, 64
// for SHA512.
func NewSecret(rand io.Reader, alg Algorithm) (secret.Bytes, error) {
	if !alg.valid() {
		return nil, errors.New("algorithm is not SHA1, SHA256 or SHA512")
	}
	s := make(secret.Bytes, alg.secretSize())
	if _, err := io.ReadFull(rand, s); err != nil {
		return nil, fmt.Errorf("reading randomness: %w", err)
	}
	return s, nil
}
