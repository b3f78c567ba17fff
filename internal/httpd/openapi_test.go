package httpd_test

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"
)

const described = "../../docs/api/openapi.json"

// The description in the docs is the one that the server gives of itself. To
// bring it up to date: LATCHKEY_UPDATE=1 go test ./internal/httpd -run Described
func TestTheDescribedAPIIsTheAPI(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var got bytes.Buffer
	if err := json.Indent(&got, []byte(w.must("GET", "/api/openapi.json", "").body), "", " "); err != nil {
		t.Fatal(err)
	}
	got.WriteByte('\n')
	if os.Getenv("LATCHKEY_UPDATE") != "" {
		if err := os.WriteFile(described, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(described)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Error("docs/api/openapi.json is not what the server says of itself: LATCHKEY_UPDATE=1 go test ./internal/httpd -run Described, and look at the difference")
	}
}
