package httpd_test

import (
	"strings"
	"testing"
)

// Only who names no scopes at all gets all: a list that came out empty is a slip
// of the script that made it, and would be worth the most.
func TestAnEmptyListOfScopesMakesNoToken(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	before := h.state()
	for _, scopes := range []string{`[]`, `null`, `[""]`, `[" "]`, `["read users"]`, `["read",""]`, `["Read"]`, `"read"`} {
		h.refused(scopes, h.send("POST", "/api/v1/tokens", `{"scopes":`+scopes+`}`, nil), 400)
	}
	h.unchanged(before)
	if made := h.must("POST", "/api/v1/tokens", `{"scopes":["read"]}`); !strings.Contains(made.body, `"scopes":["read"]`) {
		t.Error(made.body)
	}
	h.must("POST", "/api/v1/tokens", `{}`)
}

// A zero is no default: the command line refuses it too.
func TestAZeroIsNoDefault(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	before := h.state()
	for body, path := range map[string]string{
		`{"uses":0}`: "machine-tokens", `{"uses":-1}`: "machine-tokens", `{"ttl_seconds":0}`: "machine-tokens", `{"ttl_seconds":-5}`: "machine-tokens",
		`{"kind":"totp","period":0}`: "users/user-1/authenticators", `{"kind":"totp","digits":0}`: "users/user-1/authenticators",
	} {
		a := h.send("POST", "/api/v1/"+path, body, nil)
		h.refused(body, a, 400)
		if !strings.Contains(a.problem.Detail, "must be at least") {
			t.Errorf("%s: %s", body, a.body)
		}
	}
	h.unchanged(before)
}
