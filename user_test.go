package latchkey_test

import (
	"strings"
	"testing"

	"latchkey"
)

// Names that have the form of an id, in any case, are nobody's: a machine
// chooses its own.
func TestANameIsNoID(t *testing.T) {
	t.Parallel()
	id := "mch_" + strings.Repeat("0a", 16)
	for name, want := range map[string]bool{
		id: false, strings.ToUpper(id): false, "usr_" + strings.Repeat("f", 32): false,
		"mch_" + strings.Repeat("0a", 15): true, "mch_" + strings.Repeat("0x", 16): true, "machine_1": true, "a_" + strings.Repeat("0", 32): true,
	} {
		if err := latchkey.CheckName(name); (err == nil) != want {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// One name has many ways of being written: none of them is another person.
func TestANameIsOneHoweverItIsWritten(t *testing.T) {
	t.Parallel()
	for _, same := range [][]string{
		{"René", "Rene\u0301", "RENÉ", "RENE\u0301", " rené "},
		{"Åsa", "A\u030Asa", "\u212Bsa"},
		{"kim", "KIM", "\u212Aim"},
		{"한", "\u1112\u1161\u11ab"},
	} {
		for _, name := range same {
			if got, want := latchkey.FoldName(name), latchkey.FoldName(same[0]); got != want {
				t.Errorf("%+q folds to %+q, and %+q to %+q", name, got, same[0], want)
			}
			if f := latchkey.FoldName(name); latchkey.FoldName(f) != f {
				t.Errorf("%+q folds to what folds again", name)
			}
		}
	}
	if latchkey.FoldName("rene") == latchkey.FoldName("rené") || latchkey.FoldName("ﬁ") == latchkey.FoldName("fi") {
		t.Error("two names have become one")
	}
}
