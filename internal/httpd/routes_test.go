package httpd_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"testing"

	"latchkey"
	"latchkey/internal/httpd"
)

const routesPage = "../../docs/api/routes.md"

// A description is the part of OpenAPI that the page is made of.
type description struct {
	Paths      map[string]map[string]operation
	Components struct{ Schemas map[string]schema }
}

type operation struct {
	Summary     string
	Parameters  []parameter
	RequestBody struct {
		Content map[string]struct{ Schema schema }
	}
	Responses map[string]struct {
		Content map[string]struct{ Schema schema }
	}
}

type parameter struct {
	Name, In, Description string
	Required              bool
	Schema                schema
}

type schema struct {
	Ref                  string `json:"$ref"`
	Type                 any
	Format, Description  string
	Items                *schema
	OneOf                []schema
	Properties           map[string]schema
	Required             []string
	AdditionalProperties any
	Enum                 []any
}

// The page of the routes is made of the description that the server gives of
// itself and of the table of roles. To bring it up to date:
// LATCHKEY_UPDATE=1 go test ./internal/httpd -run Described
func TestTheDescribedRoutesAreOnTheirPage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var d description
	if err := json.Unmarshal([]byte(w.must("GET", "/api/openapi.json", "").body), &d); err != nil {
		t.Fatal(err)
	}
	got := d.page()
	if os.Getenv("LATCHKEY_UPDATE") != "" {
		if err := os.WriteFile(routesPage, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(routesPage)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Error("docs/api/routes.md is not what the server says of itself: LATCHKEY_UPDATE=1 go test ./internal/httpd -run Described")
	}
	for _, route := range httpd.AccessRoutes() {
		if !strings.Contains(got, "\n### `"+route+"`\n") {
			t.Errorf("%s is not on the page", route)
		}
	}
}

func (d description) page() string {
	var b strings.Builder
	b.WriteString(`# Routes

Made by a test from what the server says of itself ([openapi.json](openapi.json)) and from the table of roles; [the other page](README.md) says how to ask. Every
route may also answer 400 ` + "`invalid`" + ` (a query or body that is not understood), 401 ` + "`unauthorized`" + `, 403 ` + "`forbidden`" + `, 500 ` + "`internal`" + ` and 503 ` + "`busy`" + `.

`)
	for _, p := range slices.Sorted(maps.Keys(d.Paths)) {
		for _, method := range []string{"get", "post", "put", "patch", "delete"} {
			if o, ok := d.Paths[p][method]; ok {
				d.route(&b, strings.ToUpper(method)+" "+p, o)
			}
		}
	}
	b.WriteString("## Documents\n\nA field with ? may be absent; null means none.\n")
	for _, name := range slices.Sorted(maps.Keys(d.Components.Schemas)) {
		s := d.Components.Schemas[name]
		if len(s.OneOf) > 0 {
			fmt.Fprintf(&b, "\n### %s\n\n%s\n", name, s.kind())
			continue
		}
		fmt.Fprintf(&b, "\n### %s\n\n| field | type |\n|---|---|\n", name)
		for _, f := range slices.Sorted(maps.Keys(s.Properties)) {
			optional := "?"
			if slices.Contains(s.Required, f) {
				optional = ""
			}
			fmt.Fprintf(&b, "| `%s`%s | %s |\n", f, optional, join(s.Properties[f].kind(), s.Properties[f].Description))
		}
	}
	return b.String()
}

func (d description) route(b *strings.Builder, route string, o operation) {
	fmt.Fprintf(b, "### `%s`\n\n%s.\n\n", route, strings.TrimSuffix(o.Summary, "."))
	if scope, roles := httpd.Who(route); len(roles) == len(latchkey.Roles) {
		fmt.Fprintf(b, "- who: every role, with a token of scope `%s`\n", scope)
	} else if len(roles) > 0 {
		fmt.Fprintf(b, "- who: %s, with a token of scope `%s`\n", strings.Join(roles, ", "), scope)
	} else {
		b.WriteString("- who: anybody, without a token\n")
	}
	for _, p := range o.Parameters {
		fmt.Fprintf(b, "- %s `%s`: %s\n", p.In, p.Name, join(p.Schema.kind(), p.Description))
	}
	if s, ok := o.RequestBody.Content["application/json"]; ok {
		fmt.Fprintf(b, "- body: %s\n", s.Schema.kind())
	}
	for _, status := range slices.Sorted(maps.Keys(o.Responses)) {
		if status == "default" {
			continue
		}
		body := "nothing"
		for _, c := range o.Responses[status].Content {
			body = c.Schema.kind()
		}
		fmt.Fprintf(b, "- %s: %s\n", status, body)
	}
	fmt.Fprintf(b, "- also: %s\n\n", strings.Join(problems(route), ", "))
}

// problems are what a route of this form may answer beyond what all may.
func problems(route string) []string {
	method, p, _ := strings.Cut(route, " ")
	out := []string{}
	if strings.Contains(p, "{") {
		out = append(out, "404 `not_found`")
	}
	if method != "GET" {
		out = append(out, "408, 413, 415 `invalid`", "409 `conflict`")
	}
	if len(out) == 0 {
		out = append(out, "nothing else")
	}
	return out
}

// kind is a schema in a few words.
func (s schema) kind() string {
	switch {
	case s.Ref != "":
		name := path.Base(s.Ref)
		return "[" + name + "](#" + strings.ToLower(name) + ")"
	case len(s.Enum) == 1:
		return fmt.Sprintf("`%q`", s.Enum[0])
	case s.Items != nil:
		return "list of " + s.Items.kind()
	case len(s.OneOf) > 0:
		var each []string
		for _, one := range s.OneOf {
			each = append(each, one.kind())
		}
		return strings.Join(each, " or ")
	}
	if s.AdditionalProperties != nil {
		if more, ok := s.AdditionalProperties.(map[string]any); ok {
			raw, _ := json.Marshal(more) // it was JSON a moment ago
			var of schema
			if json.Unmarshal(raw, &of) == nil {
				return "object of " + of.kind()
			}
		}
	}
	name := fmt.Sprint(s.Type)
	if all, ok := s.Type.([]any); ok {
		var names []string
		for _, one := range all {
			names = append(names, fmt.Sprint(one))
		}
		name = strings.Join(names, " or ")
	}
	if s.Type == nil {
		name = "anything"
	}
	if s.Format != "" && s.Format != "int64" && s.Format != "int32" {
		name += " (" + s.Format + ")"
	}
	return name
}

func join(kind, description string) string {
	if description == "" {
		return kind
	}
	return kind + "; " + description
}
