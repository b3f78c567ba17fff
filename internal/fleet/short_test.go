package fleet

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// What a machine says is cut between letters: PostgreSQL keeps no half of one.
func TestWhatAMachineSaysIsCutBetweenLetters(t *testing.T) {
	t.Parallel()
	for _, s := range []string{strings.Repeat("é", maxText), "x" + strings.Repeat("é", maxText), "é"} {
		if got := short(s); !utf8.ValidString(got) || len(got) < min(len(s), maxText)-1 || len(got) > maxText {
			t.Errorf("%d bytes became %d", len(s), len(got))
		}
	}
}
