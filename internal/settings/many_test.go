package settings

import (
	"fmt"
	"strings"
	"testing"

	"latchkey"
)

// Every login looks at every policy: there is an end to them.
func TestThereIsAnEndToPolicies(t *testing.T) {
	t.Parallel()
	stored := make([]latchkey.Policy, MaxPolicies-1)
	for i := range stored {
		stored[i] = latchkey.BuiltinPolicy()
		stored[i].Name = fmt.Sprint("old-", i)
	}
	for document, ok := range map[string]bool{
		`{"name":"one"}`:                                                true,
		`[{"name":"one"},{"name":"two"}]`:                               false,
		`[{"name":"one"},{"name":"Old-3"}]`:                             true,
		"[" + strings.Repeat(`{"name":"x"},`, 20_000) + `{"name":"y"}]`: false,
	} {
		changes, err := parse([]byte(document))
		if err == nil {
			_, err = apply(stored, changes)
		}
		if (err == nil) != ok || err != nil && latchkey.CodeOf(err) != latchkey.Invalid {
			t.Errorf("%.40s: %v", document, err)
		}
	}
	// Who has more of before may change them.
	for i := range 5 {
		p := latchkey.BuiltinPolicy()
		p.Name = fmt.Sprint("older-", i)
		stored = append(stored, p)
	}
	if changes, err := parse([]byte(`{"name":"old-1","priority":3}`)); err != nil {
		t.Error(err)
	} else if _, err := apply(stored, changes); err != nil {
		t.Error(err)
	}
}
