package httpd

import (
	"maps"
	"slices"
	"time"
)

// Tests wait for a body that never comes: not for as long as people may.
func init() { bodyTimeout = 700 * time.Millisecond }

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
