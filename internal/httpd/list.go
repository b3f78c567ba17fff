package httpd

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"latchkey"
)

// Paged is the part of an address that asks for a page of a list. It is
// exported because huma fills the fields of embedded structs only then.
type Paged struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" doc:"rows of a page, 1 to 1000; without it the whole list"`
	Cursor string `query:"cursor" doc:"where the page begins: from the Link header of the page before"`
}

// maxCursor bounds what is decoded, in bytes.
const maxCursor = 4 << 10

// A pager is the input of a list.
type pager interface {
	page(words int) (latchkey.Page, error)
	chosen() url.Values // what else the list was asked for
}

// page reads a cursor of a list whose key has so many words.
func (p *Paged) page(words int) (latchkey.Page, error) {
	out := latchkey.Page{Limit: p.Limit}
	if p.Limit < 0 || p.Limit > latchkey.MaxPage {
		return out, latchkey.Errorf(latchkey.Invalid, "limit must be 1 to %d", latchkey.MaxPage)
	}
	if p.Cursor == "" {
		return out, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(p.Cursor[:min(len(p.Cursor), maxCursor)])
	if err != nil || json.Unmarshal(raw, &out.After) != nil || len(out.After) != words {
		return out, latchkey.Errorf(latchkey.Invalid, "the cursor is none of this list").WithHint("take it from the Link header as it is")
	}
	return out, nil
}

func (p *Paged) chosen() url.Values { return url.Values{} }

// link is the address of the next page (RFC 8288).
func link(chosen url.Values, limit int, next []string) string {
	if next == nil {
		return ""
	}
	raw, err := json.Marshal(next)
	if err != nil { // strings always marshal
		return ""
	}
	if limit > 0 {
		chosen.Set("limit", strconv.Itoa(limit))
	}
	chosen.Set("cursor", base64.RawURLEncoding.EncodeToString(raw))
	return "<?" + chosen.Encode() + `>; rel="next"`
}

// A listing is a reply that may be one page of several. The tag names the
// content, where the list can be edited as a whole.
type listing[O any] struct {
	Link string `header:"Link"`
	ETag string `header:"ETag"`
	Body []O
}

// list registers a route that answers with a list, whose key has so many words.
// A Link repeats no path: it is relative to the address that was asked.
func list[I any, O any, P interface {
	*I
	pager
}](a huma.API, path, summary string, words int, do func(context.Context, *I, latchkey.Page) ([]O, []string, error)) {
	listTagged[I, O, P](a, path, summary, words, do, nil)
}

// listTagged is list with a name for the content, by tag, of the whole list.
func listTagged[I any, O any, P interface {
	*I
	pager
}](a huma.API, path, summary string, words int, do func(context.Context, *I, latchkey.Page) ([]O, []string, error), tag func([]O) (string, error)) {
	huma.Register(a, operation(http.MethodGet, path, summary, http.StatusOK), func(ctx context.Context, in *I) (*listing[O], error) {
		out := &listing[O]{}
		page, err := P(in).page(words)
		var next []string
		if err == nil {
			out.Body, next, err = do(ctx, in, page)
		}
		if err == nil && tag != nil && page.Limit == 0 && page.After == nil {
			out.ETag, err = tag(out.Body)
		}
		if err != nil {
			return nil, noted(ctx, err)
		}
		if out.Body == nil {
			out.Body = []O{}
		}
		out.Link = link(P(in).chosen(), page.Limit, next)
		return out, nil
	})
}

// cutFrom makes a page of a whole list that is in memory.
func cutFrom[O any](all []O, p latchkey.Page, err error, id func(O) string) ([]O, []string, error) {
	if err != nil {
		return nil, nil, err
	}
	return latchkey.CutFrom(p, all, id)
}
