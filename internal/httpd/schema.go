package httpd

import (
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// fixSchemas describes what huma cannot see in a Go type: JSON that is not the
// fields of its type, and an object that may be null.
func fixSchemas(a huma.API) {
	all := a.OpenAPI().Components.Schemas
	for name, s := range all.Map() {
		if alone, ok := written[name]; ok {
			*s = huma.Schema{OneOf: alone}
			continue
		}
		if t := all.TypeFromRef("#/components/schemas/" + name); t != nil && t.Kind() == reflect.Struct {
			nullObjects(s, t)
		}
	}
}

// nullObjects says of objects under a pointer that they may be null, unless they
// are left out then.
func nullObjects(s *huma.Schema, t reflect.Type) {
	for _, f := range reflect.VisibleFields(t) {
		key, more, _ := strings.Cut(f.Tag.Get("json"), ",")
		p := s.Properties[key]
		if p == nil || p.Ref == "" || f.Type.Kind() != reflect.Pointer || strings.Contains(more, "omit") {
			continue
		}
		s.Properties[key] = &huma.Schema{Description: p.Description, OneOf: []*huma.Schema{{Ref: p.Ref}, {Type: "null"}}}
	}
}

// written are the types that write their JSON themselves.
var written = map[string][]*huma.Schema{
	"Subjects": {
		{Type: huma.TypeString, Enum: []any{"all"}},
		{Type: huma.TypeArray, Items: &huma.Schema{Type: huma.TypeString}},
	},
	"End": {
		{Type: huma.TypeString, Format: "date-time"},
		{Type: huma.TypeString, Enum: []any{"never"}},
	},
}
