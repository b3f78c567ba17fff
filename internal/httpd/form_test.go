package httpd_test

import (
	"encoding/json"
	"fmt"
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

// TestNoRefusalRepeatsWhatWasSent puts a mark into every text that a route takes,
// where a secret may be pasted by mistake: a refusal says which field and what is
// allowed, and never what came.
func TestNoRefusalRepeatsWhatWasSent(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	refused := map[string]int{}
	for _, r := range h.described() {
		for _, f := range r.fields {
			for _, value := range []any{poison, poison + "\n", "otpauth://" + poison, []string{poison + "\n"}, strings.Repeat(poison, 100), 7654321} {
				what := fmt.Sprintf("%s with %.40v for %s", r, value, f)
				a := h.send(r.method, h.names.Replace(r.path), with(t, forms[r.String()], f, value), nil)
				if a.status >= 400 {
					h.refused(what, a, 400, 404)
					refused[r.String()]++
				}
				if a.status >= 400 && strings.Contains(a.body, "7654321") {
					t.Errorf("%s: the answer repeats what was sent: %s", what, a.body)
				}
			}
		}
		if r.body && refused[r.String()] < len(r.fields) {
			t.Errorf("%s took nearly everything", r)
		}
	}
	for what, in := range marked(t) {
		h.refused(what, h.send("POST", in[0], in[1], nil), 400)
	}
	if log := h.log.String(); strings.Contains(log, poison) {
		t.Error("the log repeats what was sent")
	}
}

// marked are documents with a mark deep inside, by what they are.
func marked(t *testing.T) map[string][2]string {
	const keys = "/api/v1/users/user-2/authenticators"
	out := map[string][2]string{}
	for _, uri := range []string{
		"otpauth://" + poison + "/ana?secret=MARK", "otpauth://totp/ana?" + poison + "=1", "otpauth://totp/ana?secret=" + poison,
		"otpauth://totp/ana?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&algorithm=" + poison, "otpauth://totp/" + poison,
		"otpauth://totp/ana?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&digits=" + poison, "https://" + poison,
		"otpauth://totp/" + poison + ":ana?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=b", "otpauth://totp/ana?secret=%" + poison,
	} {
		out[uri] = [2]string{keys, with(t, `{"kind":"totp"}`, "uri", uri)}
	}
	for _, doc := range []string{
		`{"name":"MARK/"}`, `{"name":"p1","users":["MARK\n"]}`, `{"name":"p1","users":"MARK"}`, `{"name":"p1","factors":{"online":["MARK"]}}`, `{"name":"p1","factors":[]}`,
		`{"name":"p1","offline":{"count":"MARK"}}`, `{"name":"p1","offline":{"enroll":"MARK"}}`, `{"name":"p1","offline":{"spend_on":["MARK"]}}`,
		`{"name":"p1","not_enrolled":"MARK"}`, `{"name":"p1","log_only_until":"MARK"}`, `{"name":"p1","scenarios":{"MARK":{"ask":true}}}`,
		`{"name":"p1","min_key_class":"MARK"}`, `[{"name":"p1"},{"name":"MARK/"}]`, `{"name":"p1","priority":"MARK"}`,
	} {
		out[doc] = [2]string{"/api/v1/policies", strings.ReplaceAll(doc, "MARK", poison)}
	}
	return out
}

// named expects that a refusal says which field it is about.
func (h *house) named(what string, a answer, field string) {
	h.t.Helper()
	if !strings.Contains(a.problem.Detail, field) {
		h.t.Errorf("%s: %q does not name the field", what, a.problem.Detail)
	}
}
