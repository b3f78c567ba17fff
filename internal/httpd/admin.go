package httpd

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"latchkey/internal/audit"
	"latchkey/internal/people"
	"latchkey/internal/report"
	"latchkey/internal/settings"
)

// Rooms is what the administrators' API shows.
type Rooms struct {
	People         *people.People
	Settings       *settings.Settings
	Audit          *audit.Audit
	Chain          *audit.Chain
	Report         *report.Report
	Authenticators Authenticators
	Fleet          Fleet
	Enrollments    Enrollments
}

// About is what the server says of itself to an administrator.
type About struct {
	Deployment string    `json:"deployment"`
	Version    string    `json:"version"`
	Time       time.Time `json:"time"`
	AgentURLs  []string  `json:"agent_urls"`
	RPID       string    `json:"rp_id"` // host that security keys are registered for
}

// Admin is the administrators' API. ready reports why the server cannot work,
// or nil.
func Admin(rooms Rooms, doorman Doorman, about About, now func() time.Time, ready func(context.Context) error) http.Handler {
	hushHuma()
	mux := http.NewServeMux()
	a := humago.New(mux, config(about.Version))
	rooms.users(a)
	rooms.authenticators(a)
	rooms.hardwareTokens(a)
	rooms.policies(a)
	rooms.machines(a)
	rooms.trail(a)
	rooms.chain(a)
	apiTokens(a, doorman, now)
	serverRoute(a, about, now)
	fixSchemas(a)

	root := http.NewServeMux()
	keeper := &doorkeeper{door: doorman, now: now, mux: mux}
	commands := bare(mux, takers(a), jsonOnly(arrived(conditional(mux, once(doorman, routed(mux))))))
	root.Handle("/api/v1/", keeper.guard(commands))
	root.Handle("/api/v1", keeper.guard(commands)) // or the mux would redirect
	root.Handle("GET /api/openapi.json", document(a))
	root.Handle("GET /healthz", healthy(func(context.Context) error { return nil }))
	root.Handle("GET /readyz", healthy(ready))
	return guarded(bounded(addressed(routed(root))))
}

func config(version string) huma.Config {
	c := huma.DefaultConfig("Latchkey administrator's API", version)
	c.OpenAPIPath, c.DocsPath, c.SchemasPath = "", "", "" // we serve one document ourselves, whole
	c.CreateHooks = nil                                   // no $schema member in answers
	c.Formats = map[string]huma.Format{"application/json": strictJSON, "json": strictJSON}
	c.DefaultFormat = "application/json"
	c.RejectUnknownQueryParameters = true
	c.Components.SecuritySchemes = map[string]*huma.SecurityScheme{"token": {Type: "http", Scheme: "bearer"}}
	return c
}

// document is the OpenAPI description, written once: it does not change while
// the server runs.
func document(a huma.API) http.Handler {
	body, err := json.Marshal(a.OpenAPI())
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if err != nil {
			writeProblem(w, problemOf(err))
			return
		}
		w.Header().Set("Content-Type", "application/openapi+json")
		_, _ = w.Write(body) // the peer is gone: nobody is left to tell
	})
}

func healthy(check func(context.Context) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := check(r.Context()); err != nil {
			note(r.Context(), "error", err.Error())
			writeProblem(w, plain(http.StatusServiceUnavailable, "not ready"))
			return
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write([]byte("ok\n")) // as above
	})
}
