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
