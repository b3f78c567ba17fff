package httpd

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"latchkey/internal/api"
	"latchkey/internal/audit"
)

type inAudit struct {
	Limit   int       `query:"limit"`
	User    string    `query:"user"`
	Machine string    `query:"machine"`
	Kind    string    `query:"kind"`
	Since   time.Time `query:"since"`
	Before  string    `query:"before" doc:"an event's id: only older ones"`
}

func (r Rooms) trail(a huma.API) {
	ask(a, http.MethodGet, "/api/v1/audit", "List the newest audit events, oldest first", http.StatusOK,
		func(ctx context.Context, in *inAudit) ([]api.Event, error) {
			return r.Audit.List(ctx, audit.Query{
				Limit: in.Limit, User: in.User, Machine: in.Machine, Kind: in.Kind, Since: in.Since, BeforeID: in.Before,
			})
		})
}

type inVerify struct {
	After int64 `query:"after" doc:"where to go on: next of the answer before"`
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
			about.Time = now().UTC()
			return about, nil
		})
}
