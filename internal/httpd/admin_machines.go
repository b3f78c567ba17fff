package httpd

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"latchkey/internal/api"
)

// Fleet keeps the machines.
type Fleet interface {
	Machines(ctx context.Context) ([]api.Machine, error)
	// Machine and all below return NotFound where no machine has the name or id.
	Machine(ctx context.Context, machine string) (api.Machine, error)
	Approve(ctx context.Context, actor, machine string) error
	Change(ctx context.Context, actor, machine string, c api.MachineChange) (api.Machine, error)
	Remove(ctx context.Context, actor, machine string) error
	CreateToken(ctx context.Context, actor string, in api.CreateToken) (api.Token, error)
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

type inEnrollments struct {
	User    string `query:"user"`
	Machine string `query:"machine"`
}

type inDisenroll struct {
	UserPath
	MachinePath
}

func (r Rooms) machines(a huma.API) {
	const one = "/api/v1/machines/{machine}"
	ask(a, http.MethodGet, "/api/v1/machines", "List machines", http.StatusOK,
		func(ctx context.Context, _ *struct{}) ([]api.Machine, error) { return r.Fleet.Machines(ctx) })
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
	ask(a, http.MethodGet, "/api/v1/enrollments", "Report who can log in offline where", http.StatusOK,
		func(ctx context.Context, in *inEnrollments) ([]api.Enrollment, error) {
			return r.Report.OfflineEnrollments(ctx, in.User, in.Machine)
		})
	tell(a, http.MethodDelete, "/api/v1/enrollments/{user}/{machine}", "End a user's offline logons on a machine",
		func(ctx context.Context, in *inDisenroll) error {
			return r.Enrollments.Disenroll(ctx, actor(ctx), in.User, in.Machine)
		})
}
