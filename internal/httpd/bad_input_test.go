package httpd_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey"
	"latchkey/internal/api"
)

// poison must come back in no answer, header and log.
const poison = "zq9poisonzq9"

// A route is one of the description, and what its body may hold.
type route struct {
	method, path string
	body         bool
	fields       []string // of the body
	required     []string // of them
	query        []string // parameters
}

func (r route) String() string { return r.method + " " + r.path }

// described reads the routes from what the server says of itself, so that a
// route that somebody adds is tried too.
func (w *world) described() []route {
	w.t.Helper()
	type schema struct {
		Ref        string `json:"$ref"`
		Required   []string
		Properties map[string]any
	}
	var doc struct {
		Paths map[string]map[string]struct {
			Parameters  []struct{ Name, In string }
			RequestBody *struct {
				Content map[string]struct{ Schema schema }
			}
		}
		Components struct{ Schemas map[string]schema }
	}
	if err := json.Unmarshal([]byte(w.must("GET", "/api/openapi.json", "").body), &doc); err != nil {
		w.t.Fatal(err)
	}
	var out []route
	for path, methods := range doc.Paths {
		for method, o := range methods {
			r := route{method: strings.ToUpper(method), path: path, body: o.RequestBody != nil}
			if r.body {
				s := o.RequestBody.Content["application/json"].Schema
				form := doc.Components.Schemas[s.Ref[strings.LastIndex(s.Ref, "/")+1:]]
				r.required = form.Required
				for f := range form.Properties {
					r.fields = append(r.fields, f)
				}
			}
			for _, p := range o.Parameters {
				if p.In == "query" {
					r.query = append(r.query, p.Name)
				}
			}
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b route) int { return strings.Compare(a.String(), b.String()) })
	return out
}

// A house is a world with things in it that routes can name.
type house struct {
	*world
	names *strings.Replacer // of the braces of a path, with things that exist
	codes []latchkey.Code
}

func newHouse(t *testing.T) *house {
	w := newWorld(t)
	w.furnish()
	w.enrollEverywhere()
	var token api.NewAuthenticator
	if err := json.Unmarshal([]byte(w.must("POST", "/api/v1/users/user-0/authenticators", `{"kind":"hotp"}`).body), &token); err != nil {
		t.Fatal(err)
	}
	return &house{w, strings.NewReplacer("{user}", "user-0", "{machine}", "pc-1", "{policy}", "p1", "{id}", string(token.ID)), []latchkey.Code{
		latchkey.Invalid, latchkey.NotFound, latchkey.Conflict, latchkey.Unauthorized, latchkey.Forbidden, latchkey.KeyReused,
	}}
}

// refused expects a problem of a status that repeats nothing.
func (h *house) refused(what string, a answer, statuses ...int) {
	h.t.Helper()
	if !slices.Contains(statuses, a.status) {
		h.t.Errorf("%s: %d %.300s, want %v", what, a.status, a.body, statuses)
		return
	}
	if a.problem.Status != a.status || a.problem.Title == "" || !slices.Contains(h.codes, a.problem.Code) || a.header.Get("Content-Type") != "application/problem+json" {
		h.t.Errorf("%s: no problem of ours: %s %.300s", what, a.header.Get("Content-Type"), a.body)
	}
	if all := strings.ToLower(a.body + fmt.Sprint(a.header)); strings.Contains(all, poison) {
		h.t.Errorf("%s: the answer repeats what was sent: %.300s", what, all)
	}
}

// state is everything that the API shows, but for the trail of refusals and
// what moves by itself.
func (h *house) state() []string {
	h.t.Helper()
	var all []string
	for _, path := range []string{"users", "machines", "policies", "tokens", "machine-tokens", "enrollments", "audit?limit=1000"} {
		for line := range strings.SplitSeq(h.must("GET", "/api/v1/"+path, "").body, `{"id"`) {
			if !strings.Contains(line, string(latchkey.AuthorizationRefused)) {
				all = append(all, strings.TrimRight(line, ",]\n"))
			}
		}
	}
	return all
}

func (h *house) unchanged(before []string) {
	h.t.Helper()
	after := h.state()
	for i := range max(len(before), len(after)) {
		switch {
		case i >= len(before):
			h.t.Errorf("there is more now: %s", after[i])
		case i >= len(after) || before[i] != after[i]:
			h.t.Errorf("this has changed: %s", before[i])
			return
		}
	}
}

// TestEveryRouteStandsBadInput walks every route that the server describes:
// whatever is wrong with a request, it is answered by a problem with a stable
// code that repeats nothing, and changes nothing.
func TestEveryRouteStandsBadInput(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	janitor, before := h.hire("janitor", "janitor"), h.state()
	routes := h.described()
	if len(routes) < 30 {
		t.Fatalf("only %d routes are described", len(routes))
	}
	for _, r := range routes {
		h.strangers(r, janitor)
		h.oddities(r)
		if r.body {
			h.bodies(r)
		}
	}
	h.unchanged(before)
	if log := h.log.String(); strings.Contains(strings.ToLower(log), poison) {
		t.Error("the log repeats what was sent")
	}
}

// strangers have no token, one of another kind, or one that may nothing.
func (h *house) strangers(r route, janitor string) {
	path := h.names.Replace(r.path)
	for what, header := range map[string]string{
		"no token": "", "a foreign token": "Bearer lkm_" + poison, "a token of nobody": "Bearer lka_" + poison, "another scheme": "Basic " + token,
	} {
		h.refused(r.String()+" with "+what, h.send(r.method, path, "{}", func(q *http.Request) { q.Header.Set("Authorization", header) }), 401)
	}
	h.refused(r.String()+" in a role of nothing", h.as(janitor, r.method, path, "{}"), 403)
}

// oddities are wrong with the address and the headers.
func (h *house) oddities(r route) {
	body, path := "", h.names.Replace(r.path)
	if r.body {
		body = "{}"
	}
	h.refused(r.String()+" with a parameter too many", h.send(r.method, path+"?"+poison+"="+poison, body, nil), 400)
	if strings.Contains(r.path, "{") {
		nobody := strings.NewReplacer("{user}", poison, "{machine}", poison, "{policy}", poison, "{id}", poison).Replace(r.path)
		h.refused(r.String()+" of nothing", h.send(r.method, nobody, body, nil), 404, 400)
	}
	h.refused(r.String()+" with another condition", h.send(r.method, path, body, func(q *http.Request) { q.Header.Set("If-None-Match", "*") }), 400)
	if r.method == "GET" {
		return
	}
	stale := func(q *http.Request) { q.Header.Set("If-Match", `"`+poison+`"`) }
	odd := body
	if r.String() == "POST /api/v1/policies" {
		odd = `{"name":"p1","priority":77}`
	}
	h.refused(r.String()+" of a stale reading", h.send(r.method, path, odd, stale), 409, 400)
	if r.method == "POST" {
		h.refused(r.String()+" under a key of spaces", h.keyed(poison+" "+poison, r.method, path, body), 400)
	}
	if r.body {
		h.refused(r.String()+" with text", h.send(r.method, path, body, func(q *http.Request) { q.Header.Set("Content-Type", "text/plain") }), 415)
	}
}

// bodies are wrong by themselves.
func (h *house) bodies(r route) {
	path := h.names.Replace(r.path)
	bad := map[string]string{
		"no body": "", "null": "null", "a number": "1", "a string": `"` + poison + `"`, "no JSON": poison, "half a document": `{"` + poison,
		"two documents": `{} {"` + poison + `":1}`, "an unknown field": `{"` + poison + `":1}`, "a list of lists": `[["` + poison + `"]]`,
		"depth": strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000), "not UTF-8": "{\"\xff" + poison + "\":1}",
	}
	for _, f := range r.fields {
		bad["an object for "+f] = `{"` + f + `":{"` + poison + `":"` + poison + `"}}`
		bad["nonsense for "+f] = `{"` + f + `":[[["` + poison + `"]]]}`
		bad[f+" twice"] = `{"` + f + `":null,"` + f + `":null}`
		bad[f+" in capitals"] = `{"` + strings.ToUpper(f) + `":"` + poison + `"}`
	}
	for what, body := range bad {
		h.refused(r.String()+" with "+what, h.send(r.method, path, body, nil), 400)
		if r.method == "POST" && body != "" {
			h.refused(r.String()+" under a key, with "+what, h.keyed("k"+what, r.method, path, body), 400)
		}
	}
	huge := `{"` + strings.Repeat("a", 1<<20) + `":1}`
	h.refused(r.String()+" with a megabyte", h.send(r.method, path, huge, nil), 413)
	if r.method == "POST" {
		h.refused(r.String()+" with a megabyte under a key", h.keyed("huge", r.method, path, huge), 413)
	}
}

// A body that never comes is cut off on every route, with a key and without.
func TestEveryRouteCutsASlowBodyOff(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	var wg sync.WaitGroup
	for _, r := range h.described() {
		if !r.body {
			continue
		}
		for _, key := range []string{"", "Idempotency-Key: k\r\n"} {
			wg.Go(func() {
				if line := h.slowly(r, key); !strings.HasPrefix(line, "HTTP/1.1 408") {
					t.Errorf("%s, %q: answered %q", r, key, line)
				}
			})
		}
	}
	wg.Wait()
}

// slowly sends the beginning of a body and returns the beginning of the answer.
func (h *house) slowly(r route, header string) string {
	ctx, cancel := context.WithTimeout(h.t.Context(), time.Minute)
	defer cancel()
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", strings.TrimPrefix(h.URL, "http://"))
	if err != nil {
		return err.Error()
	}
	defer c.Close()
	fmt.Fprintf(c, "%s %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\n%sContent-Length: 100\r\n\r\n{",
		r.method, h.names.Replace(r.path), token, header)
	_ = c.SetReadDeadline(time.Now().Add(time.Minute))
	raw, err := io.ReadAll(c)
	if err != nil {
		return "still waiting: " + err.Error()
	}
	return string(raw[:min(len(raw), 40)])
}

// What belongs to somebody else is not there.
func TestIDsOfAnotherUsersThingsAreNone(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	theirs := names(t, h.must("GET", "/api/v1/users/user-1/authenticators", ""), "id")[0]
	ben := h.hire("ben", latchkey.Administrator)
	mine := names(t, h.must("GET", "/api/v1/tokens", ""), "id")[0]
	before := h.state()
	for what, a := range map[string]answer{
		"another's authenticator":    h.send("DELETE", "/api/v1/users/user-0/authenticators/"+theirs, "", nil),
		"another administrator's":    h.as(ben, "DELETE", "/api/v1/tokens/"+mine, ""),
		"a user's id for a machine":  h.send("GET", "/api/v1/machines/"+names(t, h.must("GET", "/api/v1/users", ""), "id")[0], "", nil),
		"a machine's id for a user":  h.send("GET", "/api/v1/users/"+names(t, h.must("GET", "/api/v1/machines", ""), "id")[0], "", nil),
		"an app's id for a hardware": h.send("POST", "/api/v1/authenticators/"+theirs+"/resync", `{"codes":["123456","654321"]}`, nil),
		"an API token for a machine": h.send("DELETE", "/api/v1/machine-tokens/"+mine, "", nil),
	} {
		h.refused(what, a, 404, 400, 409)
	}
	h.unchanged(before)
}

// Every POST may be sent twice under its key, and not otherwise.
func TestEveryPOSTIsCarriedOutOncePerKey(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	if _, err := h.db.Join(t.Context(), h.machineToken(`{"approve":true}`), machineNamed("waiting"), latchkey.Event{Kind: latchkey.MachineEnrolled}); err != nil {
		t.Fatal(err)
	}
	good := map[string][2]string{ // path below /api/v1, body
		"POST /api/v1/users":                       {"users", `{"name":"zoe"}`},
		"POST /api/v1/users/{user}/authenticators": {"users/user-3/authenticators", `{"kind":"totp"}`},
		"POST /api/v1/users/{user}/disable":        {"users/user-3/disable", ""},
		"POST /api/v1/users/{user}/enable":         {"users/user-3/enable", ""},
		"POST /api/v1/users/{user}/unlock":         {"users/user-3/unlock", ""},
		"POST /api/v1/policies":                    {"policies", `{"name":"p1","priority":12}`},
		"POST /api/v1/tokens":                      {"tokens", `{}`},
		"POST /api/v1/machine-tokens":              {"machine-tokens", `{}`},
		"POST /api/v1/machines/{machine}/approve":  {"machines/waiting/approve", ""},
	}
	for _, r := range h.described() {
		if r.method != "POST" || r.String() == "POST /api/v1/authenticators/{id}/resync" { // needs two codes; its counter never goes back
			continue
		}
		g, known := good[r.String()]
		if !known {
			t.Errorf("%s: give this test a good request", r)
			continue
		}
		path := "/api/v1/" + g[0]
		first := h.keyed(r.String()[5:], r.method, path, g[1])
		before := h.state()
		again := h.keyed(r.String()[5:], r.method, path, g[1])
		if first.status >= 300 || again.status != first.status || again.body != first.body {
			t.Errorf("%s: %d %s\nagain: %d %s", r, first.status, first.body, again.status, again.body)
		}
		h.unchanged(before)
		other, body := path, "{ }"
		if !r.body {
			other, body = "/api/v1/users/user-5/enable", ""
		}
		h.refused(r.String()+" under the key of another", h.keyed(r.String()[5:], r.method, other, body), 422)
	}
}
