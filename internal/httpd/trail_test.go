package httpd_test

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"

	"latchkey"
	"latchkey/internal/api"
	"latchkey/internal/otp"
	"latchkey/internal/store"
)

// A change is one that the API can make: its route, on what, with which body.
type change struct{ route, path, body string }

// changes are all of them, in an order in which each is still possible.
func (h *house) changes() []change {
	h.t.Helper()
	var token api.NewAuthenticator
	h.decode(h.must("POST", "/api/v1/users/user-1/authenticators", `{"kind":"hotp"}`), &token)
	seed, err := otp.ParseBase32(token.Secret)
	if err != nil {
		h.t.Fatal(err)
	}
	code := func(n uint64) string {
		c, err := otp.Code(seed, n, otp.SHA1, 6)
		if err != nil {
			h.t.Fatal(err)
		}
		return otp.Format(c, 6)
	}
	waiting, err := h.db.Join(h.t.Context(), h.machineToken(`{"approve":true}`), machineNamed("waiting"), latchkey.Event{Kind: latchkey.MachineEnrolled})
	if err != nil {
		h.t.Fatal(err)
	}
	id := string(token.ID)
	return []change{
		{"POST /api/v1/users", "users", `{"name":"new"}`},
		{"POST /api/v1/users/{user}/authenticators", "users/user-0/authenticators", `{"kind":"totp"}`},
		{"PUT /api/v1/users/{user}/groups", "users/user-0/groups", `{"groups":["night"]}`},
		{"POST /api/v1/users/{user}/unlock", "users/user-0/unlock", ""},
		{"POST /api/v1/users/{user}/disable", "users/user-0/disable", ""},
		{"POST /api/v1/users/{user}/enable", "users/user-0/enable", ""},
		{"POST /api/v1/authenticators/{id}/resync", "authenticators/" + id + "/resync", fmt.Sprintf(`{"codes":[%q,%q]}`, code(50), code(51))},
		{"PUT /api/v1/authenticators/{id}/lease", "authenticators/" + id + "/lease", `{"machine":"pc-1"}`},
		{"POST /api/v1/machine-tokens", "machine-tokens", "{}"},
		{"DELETE /api/v1/machine-tokens/{id}", "machine-tokens/" + h.first("machine-tokens"), ""},
		{"PATCH /api/v1/machines/{machine}", "machines/pc-1", `{"mode":"enforce"}`},
		{"POST /api/v1/machines/{machine}/approve", "machines/" + string(waiting.ID) + "/approve", ""},
		{"POST /api/v1/policies", "policies", `{"name":"p9"}`},
		{"DELETE /api/v1/policies/{policy}", "policies/p1", ""},
		{"POST /api/v1/tokens", "tokens", `{"label":"x"}`},
		{"DELETE /api/v1/tokens/{id}", "tokens/" + h.labelled(), ""},
		{"DELETE /api/v1/enrollments/{user}/{machine}", "enrollments/user-0/pc-1", ""},
		{"DELETE /api/v1/users/{user}/authenticators/{id}", "users/user-1/authenticators/" + id, ""},
		{"DELETE /api/v1/machines/{machine}", "machines/pc-1", ""},
		{"DELETE /api/v1/users/{user}", "users/user-0", ""},
	}
}

func (h *house) decode(a answer, v any) {
	h.t.Helper()
	if err := json.Unmarshal([]byte(a.body), v); err != nil {
		h.t.Fatalf("%v in %s", err, a.body)
	}
}

// first is the id of a list's first row.
func (h *house) first(list string) string {
	h.t.Helper()
	var rows []struct{ ID string }
	h.decode(h.must("GET", "/api/v1/"+list, ""), &rows)
	return rows[0].ID
}

// labelled is the id of a token that nobody uses.
func (h *house) labelled() string {
	h.t.Helper()
	var rows []struct{ ID, Label string }
	h.decode(h.must("GET", "/api/v1/tokens", ""), &rows)
	for _, r := range rows {
		if r.Label == "3" { // of the furniture
			return r.ID
		}
	}
	h.t.Fatal("the furniture is gone")
	return ""
}

// silence keeps the trail from being written, until the function that it returns
// is called.
func (h *house) silence() (end func()) {
	h.t.Helper()
	driver, source := "pgx", h.database
	begin, undo := "ALTER TABLE events ADD CONSTRAINT silent CHECK (false) NOT VALID", "ALTER TABLE events DROP CONSTRAINT silent"
	if source == "" {
		driver, source = "sqlite", filepath.Join(h.db.Dir(), store.DatabaseFile)+"?_pragma=busy_timeout(5000)"
		begin, undo = "CREATE TRIGGER silent BEFORE INSERT ON events BEGIN SELECT RAISE(ABORT, 'silent'); END", "DROP TRIGGER silent"
	}
	run := func(query string) {
		pool, err := sql.Open(driver, source)
		if err == nil {
			_, err = pool.Exec(query)
			err = errors.Join(err, pool.Close())
		}
		if err != nil {
			h.t.Fatal(err)
		}
	}
	run(begin)
	return func() { run(undo) }
}

// TestEveryChangeIsMadeWithItsLineOrNotAtAll: where the trail cannot be written
// nothing changes, and where it can, each change leaves a line of its own.
func TestEveryChangeIsMadeWithItsLineOrNotAtAll(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	changes, known := h.changes(), map[string]bool{}
	before, speak := h.state(), h.silence()
	for _, c := range changes {
		known[c.route] = true
		method, _, _ := strings.Cut(c.route, " ")
		if a := h.send(method, "/api/v1/"+c.path, c.body, nil); a.status < 500 {
			t.Errorf("%s without its line: %d %.200s", c.route, a.status, a.body)
		}
	}
	h.unchanged(before)
	speak()
	for _, r := range h.described() {
		if r.method != "GET" && !known[r.String()] {
			t.Errorf("%s changes something and is not in this test", r)
		}
	}
	for _, c := range changes {
		method, _, _ := strings.Cut(c.route, " ")
		lines := h.lines()
		if a := h.send(method, "/api/v1/"+c.path, c.body, nil); a.status >= 300 {
			t.Errorf("%s: %d %.200s", c.route, a.status, a.body)
		}
		if n := h.lines() - lines; n < 1 {
			t.Errorf("%s leaves no line", c.route)
		}
	}
}

// lines is how long the trail is.
func (h *house) lines() int {
	h.t.Helper()
	var rows []struct{ ID string }
	h.decode(h.must("GET", "/api/v1/audit?limit=1000", ""), &rows)
	return len(rows)
}
