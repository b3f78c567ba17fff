package httpd

import (
	"encoding/json"
	"io"

	"github.com/danielgtaylor/huma/v2"

	"latchkey/internal/api"
)

// strictJSON reads bodies as api.DecodeRequest does: unknown, doubled and wrongly
// cased keys are refused, missing ones and nulls too, and errors repeat no value.
var strictJSON = huma.Format{
	Marshal: func(w io.Writer, v any) error {
		if p, ok := v.(*problem); ok {
			v = p.Problem
		}
		return json.NewEncoder(w).Encode(v)
	},
	Unmarshal: api.DecodeRequest,
}
