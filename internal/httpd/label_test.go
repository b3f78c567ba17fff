package httpd_test

import (
	"encoding/json"
	"testing"
)

// What somebody calls a thing is one line that can be printed: it is shown in
// tables and trails, where an escape would paint over what stands beside it.
func TestALabelIsOnePrintableLine(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	before := h.state()
	for _, bad := range []string{"a\nb", "a\x1b[2Jb", "a\x00b", "a\u202eb", "a\u2028b", "a\tb", "a\u200bb"} {
		text, err := json.Marshal(bad)
		if err != nil {
			t.Fatal(err)
		}
		h.refused("a token labelled "+string(text), h.send("POST", "/api/v1/tokens", `{"label":`+string(text)+`}`, nil), 400)
		for _, field := range []string{"reason", "exempt_reason"} {
			body := `{"mode":"exempt","exempt_until":"never","` + field + `":` + string(text) + `}`
			h.refused("exempt because of "+string(text), h.send("PATCH", "/api/v1/machines/pc-2", body, nil), 400)
		}
	}
	h.unchanged(before)
	h.must("POST", "/api/v1/tokens", `{"label":"Nächtlicher Bericht – 夜"}`)
}
