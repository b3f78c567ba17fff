package otp

import (
	"errors"
	"strings"
)

// Why a typed text is not a code. None of them repeats what was typed.
var (
	ErrFullWidth = errors.New("the code holds full-width digits: switch the keyboard to half-width and type it again")
	ErrNotDigits = errors.New("the code holds something other than the digits 0 to 9")
	ErrLength    = errors.New("the code must have 6 to 8 digits")
)

// maxTyped bounds the work on a text that no person types as a code, in bytes.
const maxTyped = 128

// Normalize returns the digits of a code as a person typed it: spaces (also
// no-break spaces and tabs) and dashes are dropped, leading zeros kept. Other
// digits of Unicode are refused, not translated: a code has one spelling on
// its way to the comparison. It returns ErrFullWidth, ErrNotDigits or
// ErrLength.
func Normalize(typed string) (string, error) {
	if len(typed) > maxTyped {
		return "", ErrLength
	}
	var b strings.Builder
	for _, r := range typed {
		switch {
		case isSpace(r) || isDash(r):
		case r >= '0' && r <= '9':
			b.WriteRune(r)
		case r >= '０' && r <= '９':
			return "", ErrFullWidth
		default:
			return "", ErrNotDigits
		}
	}
	if b.Len() < MinDigits || b.Len() > MaxDigits {
		return "", ErrLength
	}
	return b.String(), nil
}

// isSpace knows the spaces that keyboards and copied web pages put between
// groups: blank, tab, no-break space, narrow no-break space.
func isSpace(r rune) bool {
	return r == ' ' || r == '\t' || r == '\u00a0' || r == '\u202f'
}

// isDash knows the ASCII hyphen and the dashes U+2010 to U+2014 that word
// processors make of it.
func isDash(r rune) bool {
	return r == '-' || r >= '\u2010' && r <= '\u2014'
}
