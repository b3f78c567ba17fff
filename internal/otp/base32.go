package otp

import (
	"encoding/base32"
	"errors"
	"fmt"
	"strings"

	"latchkey/internal/secret"
)

var encoding = base32.StdEncoding.WithPadding(base32.NoPadding)

// Base32 writes a secret as people type it into a phone: RFC 4648 upper case,
// without padding. The result is the secret: it goes to its owner only.
func Base32(s secret.Bytes) string { return encoding.EncodeToString(s) }

// ParseBase32 reads a secret in RFC 4648 base32, in either case, with or
// without padding, grouped by spaces or dashes. It refuses 0, 1 and 8, which
// look like letters but are not in the alphabet: guessing one would make a
// token whose every code is wrong. Errors name a position, never the text.
func ParseBase32(s string) (secret.Bytes, error) {
	if len(s) > 4*MaxSecret { // base32 takes 8 characters for 5 bytes; the rest is room for groups
		return nil, fmt.Errorf("secret is too long, the most is %d bytes", MaxSecret)
	}
	letters, err := letters(s)
	if err != nil {
		return nil, err
	}
	out, err := encoding.DecodeString(letters)
	if err != nil {
		return nil, errors.New("secret is not base32")
	}
	return out, nil
}

// letters strips the grouping and padding and checks the alphabet.
func letters(s string) (string, error) {
	var b strings.Builder
	padding := 0
	for i, r := range s {
		switch {
		case isSpace(r) || r == '-':
		case r == '=':
			padding++
		case padding > 0:
			return "", fmt.Errorf("character %d of the secret follows the padding", i+1)
		case r >= 'a' && r <= 'z':
			b.WriteRune(r - 'a' + 'A')
		case r >= 'A' && r <= 'Z' || r >= '2' && r <= '7':
			b.WriteRune(r)
		default:
			return "", fmt.Errorf("character %d of the secret is not base32 (A to Z, 2 to 7)", i+1)
		}
	}
	return b.String(), checkGroups(b.Len(), padding)
}

// checkGroups refuses lengths that no whole number of bytes encodes to
// (RFC 4648 section 6): a character is missing.
func checkGroups(n, padding int) error {
	if r := n % 8; r == 1 || r == 3 || r == 6 {
		return fmt.Errorf("secret of %d base32 characters is cut off", n)
	}
	if padding > 0 && (n+padding)%8 != 0 || padding > 6 {
		return errors.New("padding of the secret is wrong")
	}
	return nil
}
