package httpd

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"latchkey"
	"latchkey/internal/api"
	"latchkey/internal/policy"
)

type inPolicy struct {
	Name string `path:"policy"`
}

type inPolicies struct {
	Body json.RawMessage `doc:"one policy document or a list of them; merged by name"`
}

type inExplain struct {
	User     string `query:"user" required:"true"`
	Machine  string `query:"machine" required:"true"`
	Scenario string `query:"scenario"`
}

func (r Rooms) policies(a huma.API) {
	ask(a, http.MethodGet, "/api/v1/policies", "List policies in the order in which they are tried", http.StatusOK,
		func(ctx context.Context, _ *struct{}) ([]latchkey.Policy, error) { return r.Settings.List(ctx) })
	ask(a, http.MethodPost, "/api/v1/policies", "Merge policy documents by name", http.StatusOK,
		func(ctx context.Context, in *inPolicies) (api.PoliciesSet, error) {
			set, err := r.Settings.Set(ctx, actor(ctx), in.Body)
			return withNotes(set), err
		})
	ask(a, http.MethodGet, "/api/v1/policies/{policy}", "Show a policy", http.StatusOK,
		func(ctx context.Context, in *inPolicy) (latchkey.Policy, error) { return r.Settings.Show(ctx, in.Name) })
	tell(a, http.MethodDelete, "/api/v1/policies/{policy}", "Delete a policy",
		func(ctx context.Context, in *inPolicy) error { return r.Settings.Delete(ctx, actor(ctx), in.Name) })
	ask(a, http.MethodGet, "/api/v1/explain", "Say what a logon would meet, and why", http.StatusOK,
		func(ctx context.Context, in *inExplain) (api.Explained, error) {
			if in.Scenario == "" {
				in.Scenario = string(latchkey.Console)
			}
			return r.Settings.Explain(ctx, in.User, in.Machine, latchkey.Scenario(in.Scenario))
		})
}

func withNotes(set []latchkey.Policy) api.PoliciesSet {
	out := api.PoliciesSet{Policies: set, Notes: []string{}}
	for _, p := range set {
		for _, n := range policy.Lint(p) {
			out.Notes = append(out.Notes, p.Name+": "+n)
		}
	}
	return out
}
