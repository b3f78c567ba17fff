package settings

import (
	"fmt"
	"strings"
	"testing"
	"time"

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

// A date that is past does nothing any more: it was probably meant otherwise.
func TestALogOnlyDateInThePastIsRemarkedOn(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	s := New(nil, func() time.Time { return now })
	for at, want := range map[time.Time]string{now.Add(time.Hour): "until then nobody is asked", now: "log_only_until is past"} {
		p := latchkey.BuiltinPolicy()
		p.LogOnly = &at
		if notes := strings.Join(s.Remarks(p), "\n"); !strings.Contains(notes, want) || strings.Count(notes, "log_only") != 1 {
			t.Errorf("%v: %s", at, notes)
		}
	}
}
