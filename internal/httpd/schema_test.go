package httpd_test

import (
	"encoding/json"
	"fmt"
	"math"
	"path"
	"slices"
	"strings"
	"testing"
)

// TestEveryAnswerIsWhatItsDescriptionSays holds real answers against the
// description, null by null: of all that can be read, and of all forms.
func TestEveryAnswerIsWhatItsDescriptionSays(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	var d description
	if err := json.Unmarshal([]byte(h.must("GET", "/api/openapi.json", "").body), &d); err != nil {
		t.Fatal(err)
	}
	h.must("PATCH", "/api/v1/machines/pc-3", `{"mode":"exempt","reason":"kiosk","exempt_until":"2199-01-01T00:00:00Z"}`)
	h.must("PATCH", "/api/v1/machines/pc-4", `{"mode":"exempt","exempt_reason":"kiosk","exempt_until":"never"}`)
	h.must("POST", "/api/v1/tokens", `{"expires_at":"2199-01-01T00:00:00Z"}`)
	h.must("POST", "/api/v1/policies", `{"name":"p2","trust_hours":5,"offline":{"days":null,"logins":null},"hotp":{"quota":null},"log_only_until":"2199-01-01T00:00:00Z"}`)
	seen := 0
	for _, r := range h.described() {
		form, takes := forms[r.String()]
		if r.method != "GET" && (!takes || strings.HasSuffix(r.path, "/resync")) {
			continue
		}
		address := h.names.Replace(r.path)
		if r.path == "/api/v1/explain" {
			address += "?user=user-1&machine=pc-1"
		}
		a := h.must(r.method, address, form)
		want := d.Paths[r.path][strings.ToLower(r.method)].Responses[fmt.Sprint(a.status)]
		if a.body == "" && len(want.Content) == 0 {
			continue
		}
		var got any
		if err := json.Unmarshal([]byte(a.body), &got); err != nil {
			t.Fatal(err)
		}
		seen++
		for _, wrong := range d.unlike(want.Content["application/json"].Schema, got, r.String()) {
			t.Error(wrong)
		}
	}
	if seen < 20 {
		t.Errorf("only %d answers were looked at", seen)
	}
}

// unlike says where a value is not what its schema says.
func (d description) unlike(s schema, v any, at string) (wrong []string) {
	if s.Ref != "" {
		return d.unlike(d.Components.Schemas[path.Base(s.Ref)], v, at)
	}
	if len(s.OneOf) > 0 {
		if slices.ContainsFunc(s.OneOf, func(one schema) bool { return d.unlike(one, v, at) == nil }) {
			return nil
		}
		return []string{at + " is none of those that it may be"}
	}
	types := strings.Trim(fmt.Sprint(s.Type), "[]")
	fits := func(t string) bool { return t == kindOf(v) || t == "number" && kindOf(v) == "integer" }
	if s.Type != nil && !slices.ContainsFunc(strings.Fields(types), fits) {
		return []string{fmt.Sprintf("%s is %s, described as %s", at, kindOf(v), types)}
	}
	switch v := v.(type) {
	case []any:
		for _, one := range v {
			wrong = append(wrong, d.unlike(*s.Items, one, at+"[]")...)
		}
	case map[string]any:
		for _, f := range s.Required {
			if _, ok := v[f]; !ok {
				wrong = append(wrong, at+"."+f+" is missing")
			}
		}
		for f, one := range v {
			p, ok := s.Properties[f]
			switch {
			case ok:
				wrong = append(wrong, d.unlike(p, one, at+"."+f)...)
			case len(s.Properties) > 0:
				wrong = append(wrong, at+"."+f+" is not described")
			}
		}
	}
	return wrong
}

// kindOf is the type of a value in the words of JSON Schema.
func kindOf(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case string:
		return "string"
	case float64:
		if v == math.Trunc(v) {
			return "integer"
		}
		return "number"
	case []any:
		return "array"
	}
	return "object"
}
