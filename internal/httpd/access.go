package httpd

import (
	"context"
	"net/http"
	"slices"

	"latchkey"
)

// A rule says who may use a route: one of the roles, with a token that has the
// scope. The zero rule lets nobody in.
type rule struct {
	scope latchkey.Scope
	roles []latchkey.Role
}

var (
	anybody  = latchkey.Roles
	managers = []latchkey.Role{latchkey.Owner, latchkey.Administrator}
	helpers  = []latchkey.Role{latchkey.Owner, latchkey.Administrator, latchkey.HelpDesk}
)

// access is who may do what: the whole of it. A route that is not in it is
// refused to everybody, and a test fails.
var access = map[string]rule{
	"GET /api/v1/server":                              {latchkey.ReadScope, anybody},
	"GET /api/v1/users":                               {latchkey.ReadScope, anybody},
	"GET /api/v1/users/{user}":                        {latchkey.ReadScope, anybody},
	"GET /api/v1/users/{user}/authenticators":         {latchkey.ReadScope, anybody},
	"GET /api/v1/policies":                            {latchkey.ReadScope, anybody},
	"GET /api/v1/policies/{policy}":                   {latchkey.ReadScope, anybody},
	"GET /api/v1/explain":                             {latchkey.ReadScope, anybody},
	"GET /api/v1/machines":                            {latchkey.ReadScope, anybody},
	"GET /api/v1/machines/{machine}":                  {latchkey.ReadScope, anybody},
	"GET /api/v1/enrollments":                         {latchkey.ReadScope, anybody},
	"GET /api/v1/audit":                               {latchkey.ReadScope, anybody},
	"GET /api/v1/audit/verify":                        {latchkey.ReadScope, []latchkey.Role{latchkey.Owner, latchkey.Administrator, latchkey.Auditor}},
	"GET /api/v1/tokens":                              {latchkey.ReadScope, anybody},
	"POST /api/v1/tokens":                             {latchkey.TokensScope, helpers},
	"DELETE /api/v1/tokens/{id}":                      {latchkey.TokensScope, helpers},
	"POST /api/v1/users":                              {latchkey.UsersScope, managers},
	"DELETE /api/v1/users/{user}":                     {latchkey.UsersScope, managers},
	"PUT /api/v1/users/{user}/groups":                 {latchkey.UsersScope, managers}, // groups choose the policy
	"POST /api/v1/users/{user}/disable":               {latchkey.UsersScope, helpers},
	"POST /api/v1/users/{user}/enable":                {latchkey.UsersScope, helpers},
	"POST /api/v1/users/{user}/unlock":                {latchkey.UsersScope, helpers},
	"POST /api/v1/users/{user}/authenticators":        {latchkey.UsersScope, helpers},
	"DELETE /api/v1/users/{user}/authenticators/{id}": {latchkey.UsersScope, helpers},
	"DELETE /api/v1/enrollments/{user}/{machine}":     {latchkey.UsersScope, helpers},
	"POST /api/v1/authenticators/{id}/resync":         {latchkey.UsersScope, helpers}, // needs the token itself
	"PUT /api/v1/authenticators/{id}/lease":           {latchkey.UsersScope, managers},
	"POST /api/v1/policies":                           {latchkey.PoliciesScope, managers},
	"DELETE /api/v1/policies/{policy}":                {latchkey.PoliciesScope, managers},
	"PATCH /api/v1/machines/{machine}":                {latchkey.MachinesScope, managers},
	"POST /api/v1/machines/{machine}/approve":         {latchkey.MachinesScope, managers},
	"DELETE /api/v1/machines/{machine}":               {latchkey.MachinesScope, managers},
	"POST /api/v1/machine-tokens":                     {latchkey.MachinesScope, managers},
	"GET /api/v1/machine-tokens":                      {latchkey.ReadScope, anybody},
	"DELETE /api/v1/machine-tokens/{id}":              {latchkey.MachinesScope, managers},
}

var (
	errRole  = latchkey.Errorf(latchkey.Forbidden, "your role may not do this")
	errScope = latchkey.Errorf(latchkey.Forbidden, "this token may not do that").WithHint("its scopes are in latchkey token list")
	errAdmin = latchkey.Errorf(latchkey.Forbidden, "the help desk changes nothing about an administrator").
			WithHint("ask another administrator")
)

// allowed judges a token at a route, or says why not.
func allowed(k latchkey.APIToken, route string) error {
	r := access[route]
	switch {
	case !slices.Contains(r.roles, k.Admin.Role):
		return errRole
	case !k.Covers(r.scope):
		return errScope
	}
	return nil
}

// A caller is whoever sent the request that is under way.
type caller struct {
	token  latchkey.APIToken
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

// about is a request about one user.
type about interface{ subject() string }

func (u *UserPath) subject() string { return u.User }

// spared refuses the help desk's changes to administrators, and so to
// themselves: a token for an administrator's account is worth all his rights.
func spared(ctx context.Context, method string, in any) error {
	c := callerOf(ctx)
	a, ok := in.(about)
	if !ok || method == http.MethodGet || c.token.Admin.Role != latchkey.HelpDesk {
		return nil
	}
	is, err := c.door.IsAdmins(ctx, a.subject())
	if err == nil && is {
		err = errAdmin
		c.refuse(err)
	}
	return err
}
