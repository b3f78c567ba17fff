package httpd_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey"
	"latchkey/internal/api"
	"latchkey/internal/httpd"
	"latchkey/internal/seal"
)

// routes are those of the description that the server gives of itself.
func (w *world) routes() []string {
	w.t.Helper()
	var doc struct {
		Paths map[string]map[string]struct {
			Security []map[string][]string
		}
	}
	if err := json.Unmarshal([]byte(w.must("GET", "/api/openapi.json", "").body), &doc); err != nil {
		w.t.Fatal(err)
	}
	var out []string
	for path, methods := range doc.Paths {
		for method, operation := range methods {
			out = append(out, strings.ToUpper(method)+" "+path)
			if len(operation.Security) == 0 {
				w.t.Errorf("%s %s says that it needs no token", method, path)
			}
		}
	}
	slices.Sort(out)
	return out
}

func TestEveryRouteIsInTheTableOfRolesAndNoOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if described, listed := w.routes(), httpd.AccessRoutes(); !slices.Equal(described, listed) {
		t.Errorf("described:\n%s\nin the table:\n%s", strings.Join(described, "\n"), strings.Join(listed, "\n"))
	}
}

// as sends a request with the token of somebody else.
func (w *world) as(bearer, method, path, body string) answer {
	return w.send(method, path, body, func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+bearer) })
}

// hire makes an administrator; the token is lka_ and the name.
func (w *world) hire(name string, role latchkey.Role) string {
	w.t.Helper()
	bearer := httpd.TokenPrefix + name
	if err := w.db.CreateAdmin(w.t.Context(), name, role, seal.HashToken(bearer), latchkey.Event{Kind: latchkey.AdminCreated}); err != nil {
		w.t.Fatal(err)
	}
	return bearer
}

// try uses a route on things that do not exist, and says whether the door was
// open.
func (w *world) try(bearer, route string) bool {
	w.t.Helper()
	method, path, _ := strings.Cut(route, " ")
	path = strings.NewReplacer("{user}", "nobody", "{machine}", "nowhere", "{policy}", "none", "{id}", "0").Replace(path)
	body := ""
	if method != "GET" && method != "DELETE" {
		body = `{"unknown":1}`
	}
	a := w.as(bearer, method, path, body)
	if a.status == 403 && a.problem.Code != latchkey.Forbidden {
		w.t.Errorf("%s: 403 with the code %q", route, a.problem.Code)
	}
	return a.status != 403
}

func TestN03WhoMayDoWhat(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	helpdesk := []string{
		"POST /api/v1/users/{user}/disable", "POST /api/v1/users/{user}/enable", "POST /api/v1/users/{user}/unlock",
		"POST /api/v1/users/{user}/authenticators", "DELETE /api/v1/users/{user}/authenticators/{id}",
		"DELETE /api/v1/enrollments/{user}/{machine}", "POST /api/v1/authenticators/{id}/resync", "POST /api/v1/tokens", "DELETE /api/v1/tokens/{id}",
	}
	reads := func(route string) bool { return strings.HasPrefix(route, "GET ") }
	for role, may := range map[latchkey.Role]func(route string) bool{
		latchkey.Owner:         func(string) bool { return true },
		latchkey.Administrator: func(string) bool { return true },
		latchkey.HelpDesk: func(r string) bool {
			return reads(r) && r != "GET /api/v1/audit/verify" || slices.Contains(helpdesk, r)
		},
		latchkey.Auditor: reads,
		"":               func(string) bool { return false },
		"Owner":          func(string) bool { return false },
		"janitor":        func(string) bool { return false },
	} {
		bearer := w.hire(fmt.Sprintf("is-%x", string(role)), role)
		for _, route := range w.routes() {
			if route == "GET /api/v1/machines" || strings.Contains(route, "/machine") && may(route) {
				continue // this world has no fleet
			}
			if got := w.try(bearer, route); got != may(route) {
				t.Errorf("%q: %s open is %v", role, route, got)
			}
		}
	}
}

func TestATokenMayNoMoreThanItsScopes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	area := func(route string) string {
		switch {
		case strings.HasPrefix(route, "GET "):
			return "read"
		case strings.Contains(route, "/machine") && !strings.Contains(route, "enrollments"):
			return "machines"
		case strings.Contains(route, "/policies"):
			return "policies"
		case strings.Contains(route, "/tokens"):
			return "tokens"
		}
		return "users"
	}
	for _, scope := range []string{"read", "users", "machines", "policies", "tokens"} {
		var made api.NewAPIToken
		if err := json.Unmarshal([]byte(w.must("POST", "/api/v1/tokens", `{"scopes":["`+scope+`"]}`).body), &made); err != nil {
			t.Fatal(err)
		}
		for _, route := range w.routes() {
			if strings.Contains(route, "/machine") && area(route) == scope || strings.Contains(route, "GET /api/v1/machine") {
				continue // this world has no fleet
			}
			if got := w.try(made.Token, route); got != (area(route) == scope) {
				t.Errorf("a token for %s: %s open is %v", scope, route, got)
			}
		}
	}
}

func TestN19TheHelpDeskLeavesAdministratorsAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hana := w.hire("hana", latchkey.HelpDesk)
	ids := map[string]string{}
	for _, name := range []string{"Root", "hana", "ana"} {
		var u api.User
		if err := json.Unmarshal([]byte(w.must("POST", "/api/v1/users", `{"name":"`+name+`"}`).body), &u); err != nil {
			t.Fatal(err)
		}
		ids[name] = string(u.ID)
	}
	for name, open := range map[string]bool{"root": false, "ROOT": false, ids["Root"]: false, "hana": false, ids["hana"]: false, "ana": true, ids["ana"]: true} {
		for path, body := range map[string]string{"/authenticators": `{"kind":"totp"}`, "/disable": "", "/enable": "", "/unlock": ""} {
			a := w.as(hana, "POST", "/api/v1/users/"+name+path, body)
			if (a.status < 300) != open || !open && a.problem.Code != latchkey.Forbidden {
				t.Errorf("%s%s: %d %s", name, path, a.status, a.body)
			}
		}
		if a := w.as(hana, "DELETE", "/api/v1/users/"+name+"/authenticators/x", ""); !open && a.status != 403 {
			t.Errorf("%s: %d", name, a.status)
		}
		if a := w.as(hana, "DELETE", "/api/v1/enrollments/"+name+"/x", ""); !open && a.status != 403 {
			t.Errorf("%s: %d", name, a.status)
		}
		if a := w.as(hana, "GET", "/api/v1/users/"+name, ""); a.status != 200 {
			t.Errorf("reading %s: %d", name, a.status)
		}
	}
}

// A route that somebody adds for the help desk is tried too: on what belongs to
// an administrator, by every way in which a route can name it.
func TestN19NoRouteOfTheHelpDeskReachesAnAdministratorsThings(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	hana := h.hire("hana", latchkey.HelpDesk)
	if err := h.db.CreateAdmin(t.Context(), "USER-0", latchkey.Administrator, seal.HashToken("x"), latchkey.Event{Kind: latchkey.AdminCreated}); err != nil {
		t.Fatal(err)
	}
	before, tried := h.state(), 0
	for _, r := range h.described() {
		if _, roles := httpd.Who(r.String()); r.method == "GET" || !slices.Contains(roles, string(latchkey.HelpDesk)) || strings.HasPrefix(r.path, "/api/v1/tokens") {
			continue // reading is allowed, and of tokens they reach their own
		}
		tried++
		a := h.as(hana, r.method, h.names.Replace(r.path), commands[r.String()][1])
		if a.status != 403 || !strings.Contains(a.problem.Detail, "administrator") {
			t.Errorf("%s: %d %s", r, a.status, a.body)
		}
	}
	h.unchanged(before)
	if tried < 7 {
		t.Errorf("only %d routes were tried", tried)
	}
}

// Nobody but the table says so: a route that does not say whose things it changes
// is none for the help desk.
func TestTheHelpDeskChangesNothingOfWhichNobodySaysWhoseItIs(t *testing.T) {
	t.Parallel()
	for _, route := range httpd.AccessRoutes() {
		_, roles := httpd.Who(route)
		if !strings.HasPrefix(route, "GET ") && slices.Contains(roles, "helpdesk") && !httpd.SaysWhose(route) {
			t.Errorf("%s is in the table for the help desk, and does not say whose things it changes", route)
		}
	}
	if err := httpd.AllowedWithout(latchkey.HelpDesk, "POST /api/v1/authenticators/{id}/resync"); latchkey.CodeOf(err) != latchkey.Forbidden {
		t.Errorf("without it the help desk is told %v", err)
	}
	if err := httpd.AllowedWithout(latchkey.Administrator, "POST /api/v1/authenticators/{id}/resync"); err != nil {
		t.Errorf("and an administrator %v", err)
	}
}

func TestN15ARefusalSaysWhoWantedWhat(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	auditor := w.hire("otto", latchkey.Auditor)
	hana := w.hire("hana", latchkey.HelpDesk)
	w.must("POST", "/api/v1/users", `{"name":"root"}`)
	for range 50 { // strangers do not push the others out
		w.send("GET", "/api/v1/users", "", func(r *http.Request) { r.Header.Set("Authorization", "Bearer lka_guess") })
	}
	w.as(auditor, "DELETE", "/api/v1/users/root", "")
	w.as(hana, "POST", "/api/v1/users/root/disable", "")
	var events []api.Event
	if err := json.Unmarshal([]byte(w.must("GET", "/api/v1/audit?kind=authorization.refused", "").body), &events); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range events {
		if e.Actor != "" && e.Detail["from"] != "" && e.Detail["token"] != "" {
			got = append(got, e.Actor+" "+e.Detail["role"]+" "+e.Detail["route"])
		}
	}
	want := []string{"otto auditor DELETE /api/v1/users/{user}", "hana helpdesk POST /api/v1/users/{user}/disable"}
	if !slices.Equal(got, want) {
		t.Errorf("recorded %q, want %q", got, want)
	}
}

func TestATokenMakesNoBetterOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hour, day := time.Now().Add(time.Hour).UTC().Format(time.RFC3339), time.Now().Add(24*time.Hour).UTC().Format(time.RFC3339)
	make := func(bearer, body string) (answer, api.NewAPIToken) {
		a := w.as(bearer, "POST", "/api/v1/tokens", body)
		var k api.NewAPIToken
		_ = json.Unmarshal([]byte(a.body), &k) // a problem has no token
		return a, k
	}
	_, narrow := make(token, `{"scopes":["tokens","read"],"expires_at":"`+hour+`"}`)
	for name, tc := range map[string]struct {
		body   string
		status int
	}{
		"without scopes":             {`{"expires_at":"` + hour + `"}`, 403},
		"with a scope more":          {`{"scopes":["read","users"],"expires_at":"` + hour + `"}`, 403},
		"without an end":             {`{"scopes":["read"]}`, 403},
		"with a later end":           {`{"scopes":["read"],"expires_at":"` + day + `"}`, 403},
		"with an end in the past":    {`{"scopes":["read"],"expires_at":"2020-01-01T00:00:00Z"}`, 400},
		"with a scope of no kind":    {`{"scopes":["all"],"expires_at":"` + hour + `"}`, 400},
		"with two scopes in one":     {`{"scopes":["read users"],"expires_at":"` + hour + `"}`, 400},
		"with less":                  {`{"scopes":["read"],"expires_at":"` + hour + `"}`, 201},
		"with a label of a kilobyte": {`{"scopes":["read"],"expires_at":"` + hour + `","label":"` + strings.Repeat("x", 1024) + `"}`, 400},
	} {
		if a, _ := make(narrow.Token, tc.body); a.status != tc.status {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
}

func TestARevokedTokenIsOverAndOnlyItsOwnerEndsIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hana, ben := w.hire("hana", latchkey.HelpDesk), w.hire("ben", latchkey.Administrator)
	var made api.NewAPIToken
	if err := json.Unmarshal([]byte(w.as(hana, "POST", "/api/v1/tokens", `{}`).body), &made); err != nil {
		t.Fatal(err)
	}
	if a := w.as(ben, "DELETE", "/api/v1/tokens/"+made.ID, ""); a.status != 404 {
		t.Errorf("another administrator ends it: %d", a.status)
	}
	if a := w.as(ben, "GET", "/api/v1/tokens", ""); strings.Contains(a.body, made.ID) {
		t.Error("another administrator sees it")
	}
	if a := w.as(made.Token, "GET", "/api/v1/users", ""); a.status != 200 {
		t.Errorf("the token is worth nothing: %d", a.status)
	}
	w.must("DELETE", "/api/v1/tokens/"+made.ID, "")
	if a := w.as(made.Token, "GET", "/api/v1/users", ""); a.status != 401 {
		t.Errorf("the token outlives its end: %d", a.status)
	}
	list := w.must("GET", "/api/v1/tokens", "").body
	if strings.Contains(list, made.Token) || strings.Contains(list, "hash") {
		t.Errorf("the list shows more than names: %s", list)
	}
}
