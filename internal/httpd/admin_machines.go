package httpd

import (
	"context"
	"net/http"
	"net/url"

	"github.com/danielgtaylor/huma/v2"

	"latchkey"
	"latchkey/internal/api"
)

// Fleet keeps the machines.
type Fleet interface {
	// Machines returns the key that the next page begins after; nil: none is left.
	Machines(ctx context.Context, p latchkey.Page) (page []api.Machine, next []string, err error)
	// Machine and all below return NotFound where no machine has the name or id.
	Machine(ctx context.Context, machine string) (api.Machine, error)
	Approve(ctx context.Context, actor, machine string) error
	Change(ctx context.Context, actor, machine string, c api.MachineChange) (api.Machine, error)
	Remove(ctx context.Context, actor, machine string) error
	CreateToken(ctx context.Context, actor string, in api.CreateToken) (api.Token, error)
	Tokens(ctx context.Context) ([]api.MachineToken, error)
	// RevokeToken returns NotFound where there is no such token.
	RevokeToken(ctx context.Context, actor, id string) error
}

// Enrollments ends offline logons.
type Enrollments interface {
	// Disenroll ends a user's offline logons on a machine.
	Disenroll(ctx context.Context, actor, user, machine string) error
}

// MachinePath is the part of an address that names a machine.
type MachinePath struct {
	Machine string `path:"machine" doc:"name or id"`
}

type inChange struct {
	MachinePath
	Body api.MachineChange
}

type inToken struct{ Body api.CreateToken }

type inMachines struct{ Paged }

type inMachineTokens struct{ Paged }

type inEnrollments struct {
	User    string `query:"user"`
	Machine string `query:"machine"`
	Paged
}

func (in *inEnrollments) chosen() url.Values { return given("user", in.User, "machine", in.Machine) }

// given are the parameters that are not empty, of names and values in turn.
func given(pairs ...string) url.Values {
	out := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			out.Set(pairs[i], pairs[i+1])
		}
	}
	return out
}

type inDisenroll struct {
	UserPath
	MachinePath
}

func (r Rooms) machines(a huma.API) {
	const one = "/api/v1/machines/{machine}"
	list(a, "/api/v1/machines", "List machines", 2,
		func(ctx context.Context, _ *inMachines, p latchkey.Page) ([]api.Machine, []string, error) {
			return r.Fleet.Machines(ctx, p)
		})
	ask(a, http.MethodGet, one, "Show a machine", http.StatusOK,
		func(ctx context.Context, in *MachinePath) (api.Machine, error) {
			return r.Fleet.Machine(ctx, in.Machine)
		})
	ask(a, http.MethodPatch, one, "Change a machine's settings; absent fields stay", http.StatusOK,
		func(ctx context.Context, in *inChange) (api.Machine, error) {
			return r.Fleet.Change(ctx, actor(ctx), in.Machine, in.Body)
		})
	tell(a, http.MethodPost, one+"/approve", "Approve a pending or quarantined machine",
		func(ctx context.Context, in *MachinePath) error { return r.Fleet.Approve(ctx, actor(ctx), in.Machine) })
	tell(a, http.MethodDelete, one, "Remove a machine for good",
		func(ctx context.Context, in *MachinePath) error { return r.Fleet.Remove(ctx, actor(ctx), in.Machine) })
	ask(a, http.MethodPost, "/api/v1/machine-tokens", "Create a token with which machines join", http.StatusCreated,
		func(ctx context.Context, in *inToken) (api.Token, error) {
			return r.Fleet.CreateToken(ctx, actor(ctx), in.Body)
		})
	list(a, "/api/v1/machine-tokens", "List the tokens with which machines can still join", 1,
		func(ctx context.Context, _ *inMachineTokens, p latchkey.Page) ([]api.MachineToken, []string, error) {
			all, err := r.Fleet.Tokens(ctx)
			return cutFrom(all, p, err, func(t api.MachineToken) string { return t.ID })
		})
	tell(a, http.MethodDelete, "/api/v1/machine-tokens/{id}", "Revoke a token with which machines join",
		func(ctx context.Context, in *inTokenID) error { return r.Fleet.RevokeToken(ctx, actor(ctx), in.ID) })
	list(a, "/api/v1/enrollments", "Report who can log in offline where", 4,
		func(ctx context.Context, in *inEnrollments, p latchkey.Page) ([]api.Enrollment, []string, error) {
			return r.Report.OfflineEnrollments(ctx, in.User, in.Machine, p)
		})
	tell(a, http.MethodDelete, "/api/v1/enrollments/{user}/{machine}", "End a user's offline logons on a machine",
		func(ctx context.Context, in *inDisenroll) error {
			return r.Enrollments.Disenroll(ctx, actor(ctx), in.User, in.Machine)
		})
}
