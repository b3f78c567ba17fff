package httpd

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"latchkey"
)

// A rule says who may use a route: one of the roles, with a token that has the
// scope; and whose things it changes. The zero rule lets nobody in.
type rule struct {
	scope latchkey.Scope
	roles []latchkey.Role
	whose whose // nil: the help desk changes nothing there, whatever roles says
}

// whose says whether what a request is about belongs to an administrator.
type whose func(ctx context.Context, d Doorman, in any) (admins bool, err error)

// ofUser: the route names a user.
func ofUser(ctx context.Context, d Doorman, in any) (bool, error) {
	u, ok := in.(interface{ subject() string })
	if !ok {
		return true, nil
	}
	return d.IsAdmins(ctx, u.subject())
}

// ofBearer: the route names an authenticator.
func ofBearer(ctx context.Context, d Doorman, in any) (bool, error) {
	t, ok := in.(interface {
		authenticator() latchkey.AuthenticatorID
	})
	if !ok {
		return true, nil
	}
	return d.IsAdminsAuthenticator(ctx, t.authenticator())
}

// ofCaller: the route reaches nobody's things but those of whoever asks.
func ofCaller(context.Context, Doorman, any) (bool, error) { return false, nil }

var (
	anybody  = latchkey.Roles
	managers = []latchkey.Role{latchkey.Owner, latchkey.Administrator}
	helpers  = []latchkey.Role{latchkey.Owner, latchkey.Administrator, latchkey.HelpDesk}
)

// access is who may do what: the whole of it. A route that is not in it is
// refused to everybody, and a test fails.
var access = map[string]rule{
	"GET /api/v1/server":                              {latchkey.ReadScope, anybody, nil},
	"GET /api/v1/users":                               {latchkey.ReadScope, anybody, nil},
	"GET /api/v1/users/{user}":                        {latchkey.ReadScope, anybody, nil},
	"GET /api/v1/users/{user}/authenticators":         {latchkey.ReadScope, anybody, nil},
	"GET /api/v1/policies":                            {latchkey.ReadScope, anybody, nil},
	"GET /api/v1/policies/{policy}":                   {latchkey.ReadScope, anybody, nil},
	"GET /api/v1/explain":                             {latchkey.ReadScope, anybody, nil},
	"GET /api/v1/machines":                            {latchkey.ReadScope, anybody, nil},
	"GET /api/v1/machines/{machine}":                  {latchkey.ReadScope, anybody, nil},
	"GET /api/v1/enrollments":                         {latchkey.ReadScope, anybody, nil},
	"GET /api/v1/hotp-sizes":                          {latchkey.ReadScope, anybody, nil},
	"GET /api/v1/audit":                               {latchkey.ReadScope, anybody, nil},
	"GET /api/v1/audit/verify":                        {latchkey.ReadScope, []latchkey.Role{latchkey.Owner, latchkey.Administrator, latchkey.Auditor}, nil},
	"GET /api/v1/tokens":                              {latchkey.ReadScope, anybody, nil},
	"POST /api/v1/tokens":                             {latchkey.TokensScope, helpers, ofCaller},
	"DELETE /api/v1/tokens/{id}":                      {latchkey.TokensScope, helpers, ofCaller},
	"POST /api/v1/users":                              {latchkey.UsersScope, managers, nil},
	"DELETE /api/v1/users/{user}":                     {latchkey.UsersScope, managers, ofUser},
	"PUT /api/v1/users/{user}/groups":                 {latchkey.UsersScope, managers, ofUser}, // groups choose the policy
	"POST /api/v1/users/{user}/disable":               {latchkey.UsersScope, helpers, ofUser},
	"POST /api/v1/users/{user}/enable":                {latchkey.UsersScope, helpers, ofUser},
	"POST /api/v1/users/{user}/unlock":                {latchkey.UsersScope, helpers, ofUser},
	"POST /api/v1/users/{user}/authenticators":        {latchkey.UsersScope, helpers, ofUser},
	"DELETE /api/v1/users/{user}/authenticators/{id}": {latchkey.UsersScope, helpers, ofUser},
	"DELETE /api/v1/enrollments/{user}/{machine}":     {latchkey.UsersScope, helpers, ofUser},
	"POST /api/v1/authenticators/{id}/resync":         {latchkey.UsersScope, helpers, ofBearer}, // needs the token itself
	"PUT /api/v1/authenticators/{id}/lease":           {latchkey.UsersScope, managers, ofBearer},
	"POST /api/v1/policies":                           {latchkey.PoliciesScope, managers, nil},
	"DELETE /api/v1/policies/{policy}":                {latchkey.PoliciesScope, managers, nil},
	"PATCH /api/v1/machines/{machine}":                {latchkey.MachinesScope, managers, nil},
	"POST /api/v1/machines/{machine}/approve":         {latchkey.MachinesScope, managers, nil},
	"DELETE /api/v1/machines/{machine}":               {latchkey.MachinesScope, managers, nil},
	"POST /api/v1/machine-tokens":                     {latchkey.MachinesScope, managers, nil},
	"GET /api/v1/machine-tokens":                      {latchkey.ReadScope, anybody, nil},
	"DELETE /api/v1/machine-tokens/{id}":              {latchkey.MachinesScope, managers, nil},
}

var (
	errRole  = latchkey.Errorf(latchkey.Forbidden, "your role may not do this")
	errScope = latchkey.Errorf(latchkey.Forbidden, "this token may not do that").WithHint("its scopes are in latchkey token list")
	errAdmin = latchkey.Errorf(latchkey.Forbidden, "the help desk changes nothing about an administrator").
			WithHint("ask another administrator")
)

// allowed judges a token at a route, or says why not.
func allowed(k latchkey.APIToken, route string) error { return access[route].admits(k, route) }

func (r rule) admits(k latchkey.APIToken, route string) error {
	switch {
	case !slices.Contains(r.roles, k.Admin.Role):
		return errRole
	case k.Admin.Role == latchkey.HelpDesk && r.whose == nil && !strings.HasPrefix(route, http.MethodGet):
		return errRole
	case !k.Covers(r.scope):
		return errScope
	}
	return nil
}

// A caller is whoever sent the request that is under way.
type caller struct {
	token  latchkey.APIToken
	route  string // in the table of access
	door   Doorman
	refuse func(err error) // leaves a trace
}

type callerKey struct{}

func callerOf(ctx context.Context) caller {
	c, _ := ctx.Value(callerKey{}).(caller)
	return c
}

// actor is the name of the administrator whose request it is.
func actor(ctx context.Context) string { return callerOf(ctx).token.Admin.Name }

// late leaves a trace of a token that ended while its command was under way.
func late(ctx context.Context, err error) {
	if c := callerOf(ctx); c.refuse != nil && latchkey.CodeOf(err) == latchkey.Unauthorized {
		c.refuse(err)
	}
}

func (u *UserPath) subject() string { return u.User }

func (t *TokenPath) authenticator() latchkey.AuthenticatorID { return latchkey.AuthenticatorID(t.ID) }

// spared refuses the help desk's changes to administrators, and so to
// themselves: a token for an administrator's account is worth all his rights.
func spared(ctx context.Context, method string, in any) error {
	c := callerOf(ctx)
	if method == http.MethodGet || c.token.Admin.Role != latchkey.HelpDesk {
		return nil
	}
	is, err := access[c.route].whose(ctx, c.door, in)
	if err == nil && is {
		err = errAdmin
		c.refuse(err)
	}
	return err
}
