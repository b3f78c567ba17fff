package httpd

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"latchkey"
	"latchkey/internal/api"
	"latchkey/internal/audit"
)

type inAudit struct {
	Paged
	User    string    `query:"user"`
	Machine string    `query:"machine"`
	Kind    string    `query:"kind"`
	Since   time.Time `query:"since"`
	Before  string    `query:"before" doc:"an event's id: only older ones"`
}

func (in *inAudit) chosen() url.Values {
	out := given("user", in.User, "machine", in.Machine, "kind", in.Kind)
	if !in.Since.IsZero() {
		out.Set("since", in.Since.Format(time.RFC3339Nano))
	}
	return out
}

// trail: the pages of the trail go back in time, each with the oldest first.
func (r Rooms) trail(a huma.API) {
	list(a, "/api/v1/audit", "List the newest audit events, oldest first; 100 without a limit, and older ones by the Link", 1,
		func(ctx context.Context, in *inAudit, p latchkey.Page) ([]api.Event, []string, error) {
			if p.After != nil {
				in.Before = p.After[0]
			}
			events, err := r.Audit.List(ctx, audit.Query{
				Limit: in.Limit, User: in.User, Machine: in.Machine, Kind: in.Kind, Since: in.Since, BeforeID: in.Before,
			})
			if err != nil || len(events) < cmp.Or(in.Limit, audit.Lines) {
				return events, nil, err
			}
			return events, []string{events[0].ID}, nil
		})
}

type inVerify struct {
	After int64 `query:"after" minimum:"0" doc:"where to go on: next of the answer before"`
}

func (r Rooms) chain(a huma.API) {
	ask(a, http.MethodGet, "/api/v1/audit/verify", "Check the sealed audit trail, 100,000 rows a request", http.StatusOK,
		func(ctx context.Context, in *inVerify) (api.AuditVerdict, error) {
			return r.Chain.Verify(ctx, in.After)
		})
}

func serverRoute(a huma.API, about About, now func() time.Time) {
	ask(a, http.MethodGet, "/api/v1/server", "Say what this server is and what time it is there", http.StatusOK,
		func(context.Context, *struct{}) (About, error) {
			out := about
			out.Time, out.AgentURLs = now().UTC(), append([]string{}, about.AgentURLs...) // never null
			return out, nil
		})
}
