package latchkey

import (
	"strings"
	"unicode/utf8"
)

// CheckLabel reports why text cannot be what somebody calls a thing, or why he
// did one: a line that is shown to others, in tables and trails. nil when it
// can; none at all can. what it is goes into the error, text does not.
func CheckLabel(what, text string, most int) error {
	switch {
	case len(text) > most:
		return Errorf(Invalid, "the %s is longer than %d bytes", what, most)
	case !utf8.ValidString(text):
		return Errorf(Invalid, "the %s is not valid UTF-8", what)
	case strings.IndexFunc(text, unprintable) >= 0: // also what turns the direction of writing
		return Errorf(Invalid, "the %s holds a character that cannot be printed", what)
	}
	return nil
}
