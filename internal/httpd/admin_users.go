package httpd

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"latchkey"
	"latchkey/internal/api"
)

// Authenticators adds and removes what users prove themselves with.
type Authenticators interface {
	// AddAuthenticator makes or imports an OTP key. The answer is the only
	// place where the key is ever shown.
	AddAuthenticator(ctx context.Context, actor, user string, in api.AddAuthenticator) (api.NewAuthenticator, error)
	// RemoveAuthenticator returns NotFound where the user has no such one.
	RemoveAuthenticator(ctx context.Context, actor, user string, id latchkey.AuthenticatorID) error
	Tokens
}

// UserPath is the part of an address that names a user. It is exported because
// huma fills the fields of embedded structs only then.
type UserPath struct {
	User string `path:"user" doc:"name or id"`
}

type inUsers struct{ Paged }

type inAuthenticators struct {
	UserPath
	Paged
}

type inAddUser struct{ Body api.AddUser }

type inGroups struct {
	UserPath
	Body api.SetGroups
}

func (r Rooms) users(a huma.API) {
	list(a, "/api/v1/users", "List users", 2, func(ctx context.Context, _ *inUsers, p latchkey.Page) ([]api.User, []string, error) {
		return r.People.List(ctx, p)
	})
	ask(a, http.MethodPost, "/api/v1/users", "Add a user", http.StatusCreated, func(ctx context.Context, in *inAddUser) (api.User, error) {
		return r.People.Add(ctx, actor(ctx), in.Body)
	})
	ask(a, http.MethodGet, "/api/v1/users/{user}", "Show a user", http.StatusOK, func(ctx context.Context, in *UserPath) (api.User, error) {
		return r.People.Show(ctx, in.User)
	})
	tell(a, http.MethodDelete, "/api/v1/users/{user}", "Delete a user for good", func(ctx context.Context, in *UserPath) error {
		return r.People.Delete(ctx, actor(ctx), in.User)
	})
	for verb, do := range map[string]func(context.Context, string, string) error{
		"disable": r.People.Disable, "enable": r.People.Enable, "unlock": r.People.Unlock,
	} {
		tell(a, http.MethodPost, "/api/v1/users/{user}/"+verb, verb+" a user", func(ctx context.Context, in *UserPath) error {
			return do(ctx, actor(ctx), in.User)
		})
	}
	tell(a, http.MethodPut, "/api/v1/users/{user}/groups", "Replace a user's groups", func(ctx context.Context, in *inGroups) error {
		return r.People.SetGroups(ctx, actor(ctx), in.User, in.Body.Groups)
	})
}

type inAddAuthenticator struct {
	UserPath
	Body api.AddAuthenticator
}

type inAuthenticator struct {
	UserPath
	ID string `path:"id"`
}

func (r Rooms) authenticators(a huma.API) {
	const path = "/api/v1/users/{user}/authenticators"
	list(a, path, "List a user's authenticators", 1, func(ctx context.Context, in *inAuthenticators, p latchkey.Page) ([]api.Authenticator, []string, error) {
		u, err := r.People.Show(ctx, in.User)
		return cutFrom(u.Authenticators, p, err, func(a api.Authenticator) string { return string(a.ID) })
	})
	ask(a, http.MethodPost, path, "Add an authenticator; its secret is in this answer only", http.StatusCreated,
		func(ctx context.Context, in *inAddAuthenticator) (api.NewAuthenticator, error) {
			return r.Authenticators.AddAuthenticator(ctx, actor(ctx), in.User, in.Body)
		})
	tell(a, http.MethodDelete, path+"/{id}", "Remove an authenticator", func(ctx context.Context, in *inAuthenticator) error {
		return r.Authenticators.RemoveAuthenticator(ctx, actor(ctx), in.User, latchkey.AuthenticatorID(in.ID))
	})
}
