package httpd_test

import (
	"net/http"
	"strings"
	"testing"
)

// TestNoDatabaseIsAskedForWhatItCannotHold walks every route with names, ids and
// filters that PostgreSQL has no text for: they are the caller's mistake, on
// both databases.
func TestNoDatabaseIsAskedForWhatItCannotHold(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	before := h.state()
	for _, r := range h.described() {
		body := ""
		if r.body {
			body = "{}"
		}
		for _, bad := range []string{"%00", "%ff", "a%00b", "%ed%a0%80"} {
			if strings.Contains(r.path, "{") {
				path := h.names.Replace(strings.Replace(r.path, r.path[strings.Index(r.path, "{"):strings.Index(r.path, "}")+1], bad, 1))
				h.refused(r.method+" "+path, h.send(r.method, path, body, nil), 400)
				last := strings.LastIndex(r.path, "{")
				path = h.names.Replace(r.path[:last] + bad + r.path[strings.LastIndex(r.path, "}")+1:])
				h.refused(r.method+" "+path, h.send(r.method, path, body, nil), 400)
			}
			for _, q := range r.query {
				h.refused(r.String()+" where "+q+" is "+bad, h.send(r.method, r.path+"?"+q+"="+bad, body, nil), 400)
			}
		}
		for _, f := range r.fields {
			h.refused(r.String()+" with NUL in "+f, h.send(r.method, h.names.Replace(r.path), `{"`+f+`":"a\u0000b"}`, nil), 400)
			h.refused(r.String()+" with NUL in a list of "+f, h.send(r.method, h.names.Replace(r.path), `{"`+f+`":["a\u0000b"]}`, nil), 400)
		}
	}
	h.refused("a policy", h.send("POST", "/api/v1/policies", `{"name":"p1","users":["a\u0000b"]}`, nil), 400)
	h.unchanged(before)
}

// A filter that cannot be read is refused: without it the answer would be
// everything.
func TestNoFilterVanishes(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for _, q := range []string{
		"audit?user=%zz", "audit?%zz=1", "audit?a;b=1", "audit?user=ana;kind=logon", "audit?user=ana&user=ben", "audit?limit=1&limit=2",
		"audit?limit=0", "audit?limit=-1", "audit?limit=", "audit?limit=1001", "audit?limit=x", "audit?since=", "audit?since=x", "audit?before=",
		"audit?user=ana%20", "audit?user=%20", "enrollments?user=%zz", "enrollments?limit=0", "users?cursor=", "audit/verify?after=", "audit/verify?after=-1",
		"explain?user=&machine=pc-1", "explain?user=user-1&machine=pc-1&scenario=",
	} {
		h.refused(q, h.send("GET", "/api/v1/"+q, "", nil), 400)
	}
	for _, q := range []string{"audit?user=&machine=&kind=", "enrollments?user=&machine=", "audit?limit=1", "audit?limit=1000", "audit/verify?after=0"} {
		h.must("GET", "/api/v1/"+q, "")
	}
}

// An address that is almost one of ours is none: no redirect repeats it, and
// none finds another's name.
func TestAnAddressIsExact(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.Client().CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	for _, p := range []string{
		"/api/v1", "/api/v1/", "//api/v1/users", "/api/v1//users", "/api/v1/users/", "/api/v1/users/..", "/api/v1/./users", "/api/v1/users/user-1/",
		"/api/v1/users/user-1%20", "/api/v1/users/%20user-1", "/api/v1/users/user-1%C2%A0", "/api/v1/users/user-1%E2%80%A8", "/api/v1/machines/pc-1%09",
		"/api/v1/policies/%20p1",
	} {
		h.refused(p, h.send("GET", p, "", nil), 404)
	}
}
