package vault

import (
	"slices"
	"testing"

	"latchkey"
)

func TestALedgerOfANewerAgentIsRefusedAndKept(t *testing.T) {
	t.Parallel()
	l, p := smallLedger(t)
	addUser(t, l, "ana")
	super := superblock{Version: version + 1, Shape: l.shape}
	copy(super.Magic[:], magic)
	if err := l.write(0, headSize, super, nil); err != nil {
		t.Fatal(err)
	}
	before := slices.Clone(p.data)
	_, err := openLedger(p, testKey)
	if latchkey.CodeOf(err) != latchkey.Conflict || isLost(err) {
		t.Errorf("%v: it would be taken for lost, and what was used up forgotten", err)
	}
	if !slices.Equal(before, p.data) {
		t.Error("it was changed")
	}
}
