package httpd_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey"
	"latchkey/internal/api"
	"latchkey/internal/audit"
	"latchkey/internal/enroll"
	"latchkey/internal/fleet"
	"latchkey/internal/httpd"
	"latchkey/internal/people"
	"latchkey/internal/report"
	"latchkey/internal/seal"
	"latchkey/internal/settings"
	"latchkey/internal/store"
	"latchkey/internal/store/storetest"
)

const token = httpd.TokenPrefix + "test"

// A world is the administrators' API over a real database.
type world struct {
	*httptest.Server
	t   *testing.T
	db  *store.DB
	log *safeBuffer

	database string // its address, "" for SQLite
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// release is what the program calls itself: the description in the docs says it.
func release(t *testing.T) string {
	t.Helper()
	source, err := os.ReadFile("../../cmd/latchkey/build.go")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(source), `const version = "`)
	version, _, found := strings.Cut(rest, `"`)
	if !found {
		t.Fatal("the program does not say its version")
	}
	return version
}

func newWorld(t *testing.T) *world {
	t.Helper()
	database := storetest.Database(t)
	db, err := store.Open(t.Context(), store.Config{Dir: t.TempDir() + "/data", Database: database, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	err = db.CreateAdmin(t.Context(), "root", latchkey.Owner, seal.HashToken(token), latchkey.Event{Kind: latchkey.AdminCreated})
	if err != nil {
		t.Fatal(err)
	}
	log := &safeBuffer{}
	enrolling := enroll.New(db, time.Now, rand.Reader)
	k := db.Keys()
	notary, err := audit.NewNotary(k.Deployment, k.Signer)
	if err != nil {
		t.Fatal(err)
	}
	machines := fleet.New(db, fleet.Keys{Deployment: k.Deployment, Epoch: k.Epoch, Signer: k.Signer},
		fleet.Door{URLs: []string{"https://127.0.0.1"}, Pin: make([]byte, 32)}, time.Now, rand.Reader)
	rooms := httpd.Rooms{
		Fleet: machines, Chain: audit.NewChain(db, notary),
		People: people.New(db, time.Now), Settings: settings.New(db, time.Now), Audit: audit.New(db), Report: report.New(db, time.Now),
		Authenticators: enrolling, Enrollments: enrolling,
	}
	admin := httpd.Admin(rooms, db, httpd.About{Version: release(t)}, time.Now, func(context.Context) error { return nil })
	srv := httptest.NewServer(httpd.Logged(slog.New(slog.NewJSONHandler(log, nil)), "admin", admin))
	t.Cleanup(func() {
		srv.Close()
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return &world{srv, t, db, log, database}
}

type answer struct {
	status  int
	header  http.Header
	body    string
	problem api.Problem
}

func (w *world) send(method, path, body string, change func(*http.Request)) answer {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.URL+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if change != nil {
		change(req)
	}
	res, err := w.Client().Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	a := answer{status: res.StatusCode, header: res.Header, body: string(raw)}
	if a.status >= 400 && json.Unmarshal(raw, &a.problem) != nil {
		w.t.Errorf("%s %s: status %d is no problem: %s", method, path, a.status, raw)
	}
	return a
}

func (w *world) must(method, path, body string) answer {
	w.t.Helper()
	a := w.send(method, path, body, nil)
	if a.status >= 300 {
		w.t.Fatalf("%s %s: %d %s", method, path, a.status, a.body)
	}
	return a
}

func TestWhatTheAPIRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must("POST", "/api/v1/users", `{"name":"ana"}`)
	const poison = "zq9poisonzq9" // must come back in no answer
	drop := func(r *http.Request) { r.Header.Del("Authorization") }
	bearer := func(s string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("Authorization", s) }
	}
	for name, tc := range map[string]struct {
		method, path, body string
		change             func(*http.Request)
		status             int
		code               latchkey.Code
	}{
		"N01 no token":                   {"GET", "/api/v1/users", "", drop, 401, "unauthorized"},
		"N01 text instead of JSON":       {"POST", "/api/v1/users", `{"name":"ben"}`, func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }, 415, "invalid"},
		"N01 a form":                     {"POST", "/api/v1/users", `{"name":"ben"}`, func(r *http.Request) { r.Header.Set("Content-Type", "application/x-www-form-urlencoded") }, 415, "invalid"},
		"N01 a body of no type":          {"POST", "/api/v1/users", `{"name":"ben"}`, func(r *http.Request) { r.Header.Del("Content-Type") }, 415, "invalid"},
		"N01 GET changes nothing":        {"GET", "/api/v1/users/ana/disable", "", nil, 405, "invalid"},
		"N16 a token of a machine":       {"GET", "/api/v1/users", "", bearer("Bearer lkm_" + poison), 401, "unauthorized"},
		"another token":                  {"GET", "/api/v1/users", "", bearer("Bearer lka_" + poison), 401, "unauthorized"},
		"an empty token":                 {"GET", "/api/v1/users", "", bearer("Bearer "), 401, "unauthorized"},
		"a token in another scheme":      {"GET", "/api/v1/users", "", bearer("Basic " + token), 401, "unauthorized"},
		"a token with a tail":            {"GET", "/api/v1/users", "", bearer("Bearer " + token + "x"), 401, "unauthorized"},
		"a token of a kilobyte":          {"GET", "/api/v1/users", "", bearer("Bearer lka_" + strings.Repeat("a", 1024)), 401, "unauthorized"},
		"no token, no such address":      {"GET", "/api/v1/" + poison, "", drop, 401, "unauthorized"},
		"no such address":                {"GET", "/api/v1/" + poison, "", nil, 404, "not_found"},
		"no such address outside":        {"GET", "/" + poison, "", nil, 404, "not_found"},
		"N17 the root":                   {"GET", "/", "", nil, 404, "not_found"},
		"N17 .git":                       {"GET", "/.git/config", "", nil, 404, "not_found"},
		"N17 pprof":                      {"GET", "/debug/pprof/", "", nil, 404, "not_found"},
		"N17 up the tree":                {"GET", "/api/v1/../../etc/" + poison, "", nil, 404, "not_found"},
		"N17 TRACE":                      {"TRACE", "/api/v1/users", "", nil, 405, "invalid"},
		"a method of our own":            {strings.ToUpper(poison), "/api/v1/users", "", nil, 405, "invalid"},
		"the wrong method":               {"PUT", "/api/v1/users", `{}`, nil, 405, "invalid"},
		"an unknown key":                 {"POST", "/api/v1/users", `{"name":"ben","admin":"` + poison + `"}`, nil, 400, "invalid"},
		"a key twice":                    {"POST", "/api/v1/users", `{"name":"ben","name":"` + poison + `"}`, nil, 400, "invalid"},
		"a key in another case":          {"POST", "/api/v1/users", `{"Name":"` + poison + `"}`, nil, 400, "invalid"},
		"another type":                   {"POST", "/api/v1/users", `{"name":["` + poison + `"]}`, nil, 400, "invalid"},
		"two documents":                  {"POST", "/api/v1/users", `{"name":"ben"} {"name":"` + poison + `"}`, nil, 400, "invalid"},
		"no JSON":                        {"POST", "/api/v1/users", poison, nil, 400, "invalid"},
		"no body":                        {"POST", "/api/v1/users", "", nil, 400, "invalid"},
		"null":                           {"POST", "/api/v1/users", "null", nil, 400, "invalid"},
		"not UTF-8":                      {"POST", "/api/v1/users", "{\"name\":\"\xff" + poison + "\"}", nil, 400, "invalid"},
		"depth":                          {"POST", "/api/v1/users", strings.Repeat("[", 10000) + strings.Repeat("]", 10000), nil, 400, "invalid"},
		"P09 a name with an escape":      {"POST", "/api/v1/users", `{"name":"` + poison + `\u001b[2J"}`, nil, 400, "invalid"},
		"P09 a name with U+2028":         {"POST", "/api/v1/users", `{"name":"` + poison + `\u2028"}`, nil, 400, "invalid"},
		"a name like a group":            {"POST", "/api/v1/users", `{"name":"group:` + poison + `"}`, nil, 400, "invalid"},
		"P12 a name of 256 bytes":        {"POST", "/api/v1/users", `{"name":"` + strings.Repeat("a", 256) + `"}`, nil, 400, "invalid"},
		"an empty name":                  {"POST", "/api/v1/users", `{"name":""}`, nil, 400, "invalid"},
		"the same name again":            {"POST", "/api/v1/users", `{"name":"ana"}`, nil, 409, "conflict"},
		"P01 the same name in capitals":  {"POST", "/api/v1/users", `{"name":"ANA"}`, nil, 409, "conflict"},
		"a user who does not exist":      {"GET", "/api/v1/users/" + poison, "", nil, 404, "not_found"},
		"N13 SQL in a name":              {"GET", "/api/v1/users/'%20OR%20'1'='1", "", nil, 404, "not_found"},
		"an unknown parameter":           {"GET", "/api/v1/audit?" + poison + "=1", "", nil, 400, "invalid"},
		"a limit of text":                {"GET", "/api/v1/audit?limit=" + poison, "", nil, 400, "invalid"},
		"a limit of a billion":           {"GET", "/api/v1/audit?limit=1000000000", "", nil, 400, "invalid"},
		"a limit below zero":             {"GET", "/api/v1/audit?limit=-1", "", nil, 400, "invalid"},
		"a time of text":                 {"GET", "/api/v1/audit?since=" + poison, "", nil, 400, "invalid"},
		"a policy that cannot be meant":  {"POST", "/api/v1/policies", `{"name":"` + poison + `","offline":{"days":0}}`, nil, 400, "invalid"},
		"a policy with a stranger's key": {"POST", "/api/v1/policies", `{"name":"x","offline":{"dayz":"` + poison + `"}}`, nil, 400, "invalid"},
		"deleting the policy default":    {"DELETE", "/api/v1/policies/default", "", nil, 409, "conflict"},
		"a policy that does not exist":   {"GET", "/api/v1/policies/" + poison, "", nil, 404, "not_found"},
		"a bad secret":                   {"POST", "/api/v1/users/ana/authenticators", `{"kind":"totp","secret":"` + poison + `"}`, nil, 400, "invalid"},
		"a bad address":                  {"POST", "/api/v1/users/ana/authenticators", `{"kind":"totp","uri":"otpauth://totp/x?secret=` + poison + `"}`, nil, 400, "invalid"},
		"another kind":                   {"POST", "/api/v1/users/ana/authenticators", `{"kind":"` + poison + `"}`, nil, 400, "invalid"},
		"an authenticator of nobody":     {"DELETE", "/api/v1/users/ana/authenticators/" + poison, "", nil, 404, "not_found"},
		"an unknown scenario":            {"GET", "/api/v1/explain?user=ana&machine=x&scenario=" + poison, "", nil, 400, "invalid"},
		"an explanation of nobody":       {"GET", "/api/v1/explain?user=" + poison + "&machine=x", "", nil, 404, "not_found"},
		"an explanation of no machine":   {"GET", "/api/v1/explain?user=ana&machine=" + poison, "", nil, 404, "not_found"},
		"an explanation of nothing":      {"GET", "/api/v1/explain", "", nil, 400, "invalid"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := w.send(tc.method, tc.path, tc.body, tc.change)
			if a.status != tc.status || a.problem.Code != tc.code {
				t.Errorf("answered %d %q, want %d %q: %s", a.status, a.problem.Code, tc.status, tc.code, a.body)
			}
			if kind := a.header.Get("Content-Type"); kind != "application/problem+json" {
				t.Errorf("Content-Type = %q", kind)
			}
			all := a.body + fmt.Sprint(a.header)
			if strings.Contains(strings.ToLower(all), poison) {
				t.Errorf("the answer repeats what was sent: %s", all)
			}
		})
	}
}

func TestAnAdministratorOfAnotherRoleIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	err := w.db.CreateAdmin(t.Context(), "janitor", "janitor", seal.HashToken("lka_janitor"), latchkey.Event{Kind: latchkey.AdminCreated})
	if err != nil {
		t.Fatal(err)
	}
	a := w.send("GET", "/api/v1/users", "", func(r *http.Request) { r.Header.Set("Authorization", "Bearer lka_janitor") })
	if a.status != 403 || a.problem.Code != latchkey.Forbidden {
		t.Errorf("a role that this server does not know: %d %s", a.status, a.body)
	}
}

func TestTheLogHoldsNothingThatWasSent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const poison = "zq9poisonzq9"
	w.send("POST", "/api/v1/users", `{"name":"`+poison+`"}`, nil)
	w.send("GET", "/api/v1/users/"+poison, "", nil)
	w.send("GET", "/"+poison+"?"+poison+"="+poison, "", nil)
	w.send("POST", "/api/v1/users", poison, func(r *http.Request) {
		r.Header.Set("User-Agent", poison)
		r.Header.Set("Authorization", "Bearer lka_"+poison)
	})
	lines := strings.Split(strings.TrimSpace(w.log.String()), "\n")
	if len(lines) != 4 {
		t.Errorf("%d log lines for 4 requests:\n%s", len(lines), w.log)
	}
	if strings.Contains(w.log.String(), poison) || strings.Contains(w.log.String(), token) {
		t.Errorf("the log repeats what was sent:\n%s", w.log)
	}
	for _, want := range []string{`"route":"GET /api/v1/users/{user}"`, `"actor":"root"`, `"status":401`} {
		if !strings.Contains(w.log.String(), want) {
			t.Errorf("the log lacks %s:\n%s", want, w.log)
		}
	}
}

func TestEveryAnswerCarriesTheGuardHeaders(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, path := range []string{"/healthz", "/api/v1/users", "/nowhere", "/api/openapi.json"} {
		a := w.send("GET", path, "", nil)
		for _, h := range []string{"Strict-Transport-Security", "X-Content-Type-Options", "Content-Security-Policy", "Referrer-Policy", "Cache-Control", "X-Request-Id"} {
			if a.header.Get(h) == "" {
				t.Errorf("N06 %s lacks %s", path, h)
			}
		}
	}
}

func TestN15RefusalsAreAuditedWithoutFillingTheDisk(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 100 {
		w.send("GET", "/api/v1/users", "", func(r *http.Request) { r.Header.Set("Authorization", "Bearer lka_guess") })
	}
	var events []api.Event
	if err := json.Unmarshal([]byte(w.must("GET", "/api/v1/audit?kind=authorization.refused", "").body), &events); err != nil {
		t.Fatal(err)
	}
	if len(events) < 1 || len(events) > 40 { // a minute may have begun in between
		t.Errorf("%d refusals recorded of 100", len(events))
	}
}

func TestASecretIsShownOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must("POST", "/api/v1/users", `{"name":"ana","groups":["staff"]}`)
	var made api.NewAuthenticator
	a := w.must("POST", "/api/v1/users/ana/authenticators", `{"kind":"totp"}`)
	if err := json.Unmarshal([]byte(a.body), &made); err != nil {
		t.Fatal(err)
	}
	if a.status != 201 || len(made.Secret) != 32 || !strings.Contains(made.URI, made.Secret) {
		t.Fatalf("made %d %s", a.status, a.body)
	}
	for _, path := range []string{"/api/v1/users", "/api/v1/users/ana", "/api/v1/users/ana/authenticators", "/api/v1/audit"} {
		if strings.Contains(w.must("GET", path, "").body, made.Secret) {
			t.Errorf("%s shows the secret", path)
		}
	}
	if strings.Contains(w.log.String(), made.Secret) {
		t.Error("the log shows the secret")
	}
}

func TestADeletedUserIsGoneButNotForgotten(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var before, after api.User
	read := func(into *api.User) {
		if err := json.Unmarshal([]byte(w.must("GET", "/api/v1/users/ana", "").body), into); err != nil {
			t.Fatal(err)
		}
	}
	w.must("POST", "/api/v1/users", `{"name":"ana"}`)
	read(&before)
	w.must("POST", "/api/v1/users/ana/authenticators", `{"kind":"totp"}`)
	w.must("DELETE", "/api/v1/users/ana", "")
	if a := w.send("GET", "/api/v1/users/ana", "", nil); a.status != 404 {
		t.Errorf("a deleted user is shown: %s", a.body)
	}
	w.must("POST", "/api/v1/users", `{"name":"Ana"}`)
	read(&after)
	if after.ID == before.ID || len(after.Authenticators) != 0 {
		t.Errorf("the new user inherits from the old: %+v", after)
	}
	if body := w.must("GET", "/api/v1/audit?user=ana", "").body; strings.Count(body, `"user.added"`) != 2 || !strings.Contains(body, `"user.deleted"`) {
		t.Errorf("the trail of both is %s", body)
	}
}

func TestTheDescriptionKnowsEveryRoute(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var doc struct {
		Paths map[string]map[string]any
	}
	if err := json.Unmarshal([]byte(w.must("GET", "/api/openapi.json", "").body), &doc); err != nil {
		t.Fatal(err)
	}
	if doc.Paths["/api/v1/users/{user}"]["delete"] == nil || len(doc.Paths) < 15 {
		t.Errorf("%d paths: %v", len(doc.Paths), doc.Paths)
	}
}

func TestAHugeBodyIsRefusedBeforeItIsRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	body := io.LimitReader(endless{}, 100<<20)
	req, err := http.NewRequestWithContext(t.Context(), "POST", w.URL+"/api/v1/users", body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	res, err := w.Client().Do(req)
	if err != nil {
		return // the server hung up while we were still sending: as good a refusal
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("status %d, want 413", res.StatusCode)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

func TestASlowBodyIsCutOff(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var d net.Dialer
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	c, err := d.DialContext(ctx, "tcp", strings.TrimPrefix(w.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "POST /api/v1/users HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{", token)
	_ = c.SetReadDeadline(time.Now().Add(25 * time.Second))
	raw, err := io.ReadAll(c)
	if err != nil {
		t.Fatalf("the server still waits: %v", err)
	}
	if !strings.HasPrefix(string(raw), "HTTP/1.1 408") {
		t.Errorf("answered %q, want 408", raw)
	}
}
