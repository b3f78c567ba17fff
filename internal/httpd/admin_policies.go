package httpd

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"latchkey"
	"latchkey/internal/api"
	"latchkey/internal/settings"
)

type inPolicy struct {
	Name string `path:"policy"`
}

type inPolicyList struct{ Paged }

type inDeletePolicy struct {
	Name    string `path:"policy"`
	IfMatch string `header:"If-Match" doc:"ETag of the policy or of the list: refused where it changed since"`
}

type inPolicies struct {
	IfMatch string          `header:"If-Match" doc:"ETag of the list, or of the one policy that is sent: refused where it changed since"`
	Body    json.RawMessage `doc:"one policy document or a list of them; merged by name"`
}

type inExplain struct {
	User     string `query:"user" required:"true"`
	Machine  string `query:"machine" required:"true"`
	Scenario string `query:"scenario"`
}

func (r Rooms) policies(a huma.API) {
	listTagged(a, "/api/v1/policies", "List policies in the order in which they are tried", 1,
		func(ctx context.Context, _ *inPolicyList, p latchkey.Page) ([]latchkey.Policy, []string, error) {
			all, err := r.Settings.List(ctx)
			return cutFrom(all, p, err, func(one latchkey.Policy) string { return one.Name })
		}, func(all []latchkey.Policy) (string, error) { return settings.Tag(all) })
	ask(a, http.MethodPost, "/api/v1/policies", "Merge policy documents by name", http.StatusOK,
		func(ctx context.Context, in *inPolicies) (api.PoliciesSet, error) {
			set, err := r.Settings.Set(ctx, actor(ctx), in.Body, in.IfMatch)
			return r.withNotes(set), err
		})
	askTagged(a, http.MethodGet, "/api/v1/policies/{policy}", "Show a policy", http.StatusOK,
		func(ctx context.Context, in *inPolicy) (latchkey.Policy, error) { return r.Settings.Show(ctx, in.Name) })
	tell(a, http.MethodDelete, "/api/v1/policies/{policy}", "Delete a policy",
		func(ctx context.Context, in *inDeletePolicy) error {
			return r.Settings.Delete(ctx, actor(ctx), in.Name, in.IfMatch)
		})
	ask(a, http.MethodGet, "/api/v1/explain", "Say what a logon would meet, and why", http.StatusOK,
		func(ctx context.Context, in *inExplain) (api.Explained, error) {
			if in.Scenario == "" {
				in.Scenario = string(latchkey.Console)
			}
			return r.Settings.Explain(ctx, in.User, in.Machine, latchkey.Scenario(in.Scenario))
		})
}

// tagged is a reply whose content has a name.
type tagged[O any] struct {
	Status int
	ETag   string `header:"ETag"`
	Body   O
}

// askTagged is ask with the content's name in the answer.
func askTagged[I, O any](a huma.API, method, path, summary string, status int, do func(context.Context, *I) (O, error)) {
	huma.Register(a, operation(method, path, summary, status), func(ctx context.Context, in *I) (*tagged[O], error) {
		out, err := do(ctx, in)
		if err != nil {
			return nil, noted(ctx, err)
		}
		tag, err := settings.Tag(out)
		if err != nil {
			return nil, noted(ctx, err)
		}
		return &tagged[O]{status, tag, out}, nil
	})
}

func (r Rooms) withNotes(set []latchkey.Policy) api.PoliciesSet {
	out := api.PoliciesSet{Policies: set, Notes: []string{}}
	for _, p := range set {
		for _, n := range r.Settings.Remarks(p) {
			out.Notes = append(out.Notes, p.Name+": "+n)
		}
	}
	return out
}
