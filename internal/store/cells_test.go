package store

import (
	"database/sql"
	"testing"

	"latchkey"
)

func TestCellsScanWhatFitsAndRefuseTheRest(t *testing.T) {
	t.Parallel()
	var n int64
	var is bool
	var raw []byte
	var state latchkey.MachineState
	var some, none sql.NullInt64
	var text, empty sql.NullString
	var truth sql.NullBool
	row := cells{int64(7), int64(1), []byte{9}, "active", int64(5), nil, "x", nil, int64(0)}
	must(t, row.Scan(&n, &is, &raw, &state, &some, &none, &text, &empty, &truth))
	if n != 7 || !is || raw[0] != 9 || state != latchkey.Active || some.Int64 != 5 || none.Valid || text.String != "x" || empty.Valid || !truth.Valid || truth.Bool {
		t.Errorf("got %v %v %v %q %v %v %v %v %v", n, is, raw, state, some, none, text, empty, truth)
	}
	for name, c := range map[string]struct {
		cell any
		into any
	}{
		"no number":           {"7", &n},
		"no number at all":    {nil, &n},
		"text for a time":     {"7", &some},
		"a number for a name": {int64(7), &text},
		"a number for a word": {int64(7), &state},
		"nothing for a word":  {nil, &state},
		"two for a truth":     {int64(2), &is},
		"two for a truth too": {int64(2), &truth},
		"text for bytes":      {"7", &raw},
		"what nobody scans":   {int64(7), new(float64)},
	} {
		if err := (cells{c.cell}).Scan(c.into); err == nil {
			t.Errorf("%s: %v fits into %T", name, c.cell, c.into)
		}
	}
	if err := (cells{int64(1)}).Scan(&n, &n); err == nil {
		t.Error("one column fits two values")
	}
}
