package latchkey

import (
	"encoding/hex"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// A UserID names a user for good. It is chosen by the server and never reused;
// the name that people type is not an identity (renames keep enrollments).
type UserID string

// Builtin is the directory of the users that Latchkey itself keeps.
const Builtin = "builtin"

// MaxName is the longest user, group or machine name in bytes.
const MaxName = 255

// A User is a person who logs in.
type User struct {
	ID        UserID
	Name      string // as the administrator wrote it
	Directory string // Builtin, or the name of an external directory
	Disabled  bool
	Groups    []string
}

// FoldName returns the form under which names are compared. Two names that
// fold to the same string are the same name (CVE-2020-12812: a name typed in
// another case must not become an unknown user, nor one whose accents are
// composed in another way: Unicode 3.13, D146).
func FoldName(name string) string {
	return norm.NFC.String(strings.Map(foldRune, norm.NFC.String(strings.TrimSpace(name))))
}

// foldRune maps each rune to the smallest rune of its simple-folding orbit
// (Unicode 3.13, caseless matching), so that K, k and the Kelvin sign agree.
func foldRune(r rune) rune {
	least := r
	for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
		least = min(least, f)
	}
	return unicode.ToLower(least)
}

// CheckName reports why name cannot be the name of a user, group, policy or
// machine; nil when it can.
func CheckName(name string) error {
	switch {
	case name == "":
		return Errorf(Invalid, "the name is empty")
	case len(name) > MaxName:
		return Errorf(Invalid, "the name is longer than %d bytes", MaxName)
	case !utf8.ValidString(name):
		return Errorf(Invalid, "the name is not valid UTF-8")
	case strings.TrimSpace(name) != name:
		return Errorf(Invalid, "the name begins or ends with a space")
	case strings.IndexFunc(name, unprintable) >= 0:
		return Errorf(Invalid, "the name holds a character that cannot be printed")
	case likeID(name):
		return Errorf(Invalid, "the name has the form of an id")
	}
	return nil
}

// likeID: three letters, "_" and 32 hex digits. Where an id may be given instead
// of a name, who bears another's id for a name would be taken for him.
func likeID(name string) bool {
	kind, rest, found := strings.Cut(FoldName(name), "_")
	_, err := hex.DecodeString(rest)
	return found && len(kind) == 3 && len(rest) == 32 && err == nil
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) }
