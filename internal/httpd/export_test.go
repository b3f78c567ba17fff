package httpd

import (
	"maps"
	"net/http"
	"slices"
	"time"

	"latchkey"
)

// Tests wait for a body that never comes, though not for as long as people may.
// A megabyte that is sent at once on a busy machine must be there before.
func init() { bodyTimeout = 4 * time.Second }

// AccessRoutes are the routes of the table that says who may do what.
func AccessRoutes() []string { return slices.Sorted(maps.Keys(access)) }

// Who are the scope and the roles of a route, in words.
func Who(route string) (scope string, roles []string) {
	r := access[route]
	for _, role := range r.roles {
		roles = append(roles, string(role))
	}
	return string(r.scope), roles
}

// SaysWhose reports whether the table says whose things a route changes.
func SaysWhose(route string) bool { return access[route].whose != nil }

// AllowedWithout is what a role would be told at a route if the table did not say
// whose things it changes.
func AllowedWithout(role latchkey.Role, route string) error {
	r := access[route]
	r.whose = nil
	return r.admits(latchkey.APIToken{Admin: latchkey.Admin{Role: role}}, route)
}

// Once carries commands out at most once, of a handler that a test made.
func Once(known Requests, next http.Handler) http.Handler { return once(known, next) }

// Refuse answers with an error.
func Refuse(w http.ResponseWriter, r *http.Request, err error) { refuse(w, r, err) }
