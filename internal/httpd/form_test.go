package httpd_test

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"
)

// A form is a document that a route takes, whole, and what is wrong in it by
// itself is nothing.
var forms = map[string]string{
	"POST /api/v1/users":                       `{"name":"zoe","groups":["staff"]}`,
	"PUT /api/v1/users/{user}/groups":          `{"groups":["staff"]}`,
	"POST /api/v1/users/{user}/authenticators": `{"kind":"totp"}`,
	"POST /api/v1/authenticators/{id}/resync":  `{"codes":["123456","654321"]}`,
	"PUT /api/v1/authenticators/{id}/lease":    `{"machine":"pc-2"}`,
	"PATCH /api/v1/machines/{machine}":         `{"mode":"enforce"}`,
	"POST /api/v1/machine-tokens":              `{"uses":2}`,
	"POST /api/v1/tokens":                      `{"label":"script"}`,
	"POST /api/v1/policies":                    `{"name":"p1"}`,
}

// with returns a form in which a field has another value; nil takes it out.
func with(t *testing.T, form, field string, value any) string {
	t.Helper()
	doc := map[string]any{}
	if err := json.Unmarshal([]byte(form), &doc); err != nil {
		t.Fatal(err)
	}
	doc[field] = value
	if value == nil {
		delete(doc, field)
	}
	raw, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// TestEveryFormSaysWhatItsDescriptionSays holds every route to its description: a
// required field that is missing and a null where none may be are refused, by
// their name. A null that emptied the groups would drop somebody out of a policy.
func TestEveryFormSaysWhatItsDescriptionSays(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.must("PUT", "/api/v1/users/user-0/groups", `{"groups":["admins"]}`)
	before, tried := h.state(), maps.Clone(forms)
	for _, r := range h.described() {
		if !r.body {
			continue
		}
		form, known := forms[r.String()]
		delete(tried, r.String())
		if !known {
			t.Errorf("%s: give this test a form of it", r)
			continue
		}
		path := h.names.Replace(r.path)
		for _, f := range r.fields {
			a := h.send(r.method, path, with(t, form, f, json.RawMessage("null")), nil)
			h.refused(r.String()+" with null for "+f, a, 400)
			h.named(r.String()+" with null for "+f, a, f)
		}
		for _, f := range r.required {
			a := h.send(r.method, path, with(t, form, f, nil), nil)
			h.refused(r.String()+" without "+f, a, 400)
			h.named(r.String()+" without "+f, a, f)
		}
	}
	for r := range tried {
		t.Errorf("%s is not described any more", r)
	}
	h.refused("a null among the groups", h.send("PUT", "/api/v1/users/user-0/groups", `{"groups":[null]}`, nil), 400)
	h.unchanged(before)
}

// named expects that a refusal says which field it is about.
func (h *house) named(what string, a answer, field string) {
	h.t.Helper()
	if !strings.Contains(a.problem.Detail, field) {
		h.t.Errorf("%s: %q does not name the field", what, a.problem.Detail)
	}
}
