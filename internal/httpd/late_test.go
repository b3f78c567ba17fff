package httpd_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"latchkey"
	"latchkey/internal/httpd"
	"latchkey/internal/seal"
)

// A held request has passed the door: only its body is still to come.
type held struct {
	net.Conn
	answers *bufio.Reader
	body    string
}

// hold sends all but the body. The server asks for it once it knows the token.
func (w *world) hold(bearer, method, path, header, body string) held {
	w.t.Helper()
	var d net.Dialer
	c, err := d.DialContext(w.t.Context(), "tcp", strings.TrimPrefix(w.URL, "http://"))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = c.Close() }) // it is closed below
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	fmt.Fprintf(c, "%s %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\n%sExpect: 100-continue\r\nContent-Length: %d\r\n\r\n",
		method, path, bearer, header, len(body))
	h := held{c, bufio.NewReader(c), body}
	line, err := h.answers.ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "HTTP/1.1 100") {
		w.t.Fatalf("%s %s: %q, %v", method, path, line, err)
	}
	if _, err := h.answers.ReadString('\n'); err != nil {
		w.t.Fatal(err)
	}
	return h
}

// rest sends the body and returns what is answered.
func (h held) rest(t *testing.T) (status int, body string) {
	t.Helper()
	if _, err := io.WriteString(h, h.body); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(h.answers, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(raw)
}

// commands are those that have a body, each so that it would be carried out.
var commands = map[string][2]string{
	"POST /api/v1/users":                       {"users", `{"name":"zoe"}`},
	"PUT /api/v1/users/{user}/groups":          {"users/user-3/groups", `{"groups":["vip"]}`},
	"POST /api/v1/users/{user}/authenticators": {"users/user-3/authenticators", `{"kind":"totp"}`},
	"POST /api/v1/authenticators/{id}/resync":  {"authenticators/{id}/resync", `{"codes":["123456","654321"]}`},
	"PUT /api/v1/authenticators/{id}/lease":    {"authenticators/{id}/lease", `{"machine":"pc-1"}`},
	"POST /api/v1/policies":                    {"policies", `{"name":"p1","priority":12}`},
	"PATCH /api/v1/machines/{machine}":         {"machines/pc-1", `{"mode":"enforce"}`},
	"POST /api/v1/tokens":                      {"tokens", `{}`},
	"POST /api/v1/machine-tokens":              {"machine-tokens", `{}`},
}

// Whoever stole a token keeps a command at the door, lets the owner end the
// token, and sends the rest: nothing must come of it, least of all a token.
func TestNothingIsWrittenWithATokenThatEndedMeanwhile(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	reset := latchkey.Event{Kind: latchkey.AdminReset, Actor: "console"}
	for name, end := range map[string]func(bearer string) error{
		"admin reset": func(bearer string) error {
			_, fresh, err := httpd.NewAdminToken()
			if err != nil {
				return err
			}
			return h.db.ResetAdmin(t.Context(), bearer[len(httpd.TokenPrefix):], fresh, reset)
		},
		"admin disable": func(bearer string) error {
			return h.db.DisableAdmin(t.Context(), bearer[len(httpd.TokenPrefix):], reset)
		},
		"token revoke": func(bearer string) error {
			k, err := h.db.AdminByToken(t.Context(), seal.HashToken(bearer))
			if err != nil {
				return err
			}
			return h.db.RevokeToken(t.Context(), k.ID, "", latchkey.Event{Kind: latchkey.TokenRevoked})
		},
	} {
		t.Run(name, func(t *testing.T) {
			thief := h.hire(strings.ReplaceAll(name, " ", "-"), latchkey.Owner)
			var requests []held
			for _, r := range h.described() {
				c, known := commands[r.String()]
				switch {
				case !r.body:
				case !known:
					t.Errorf("%s: give this test a command", r)
				default:
					for _, key := range []string{"", "Idempotency-Key: k" + r.path[len("/api/v1/"):] + "\r\n"} {
						requests = append(requests, h.hold(thief, r.method, "/api/v1/"+h.names.Replace(c[0]), key, c[1]))
					}
				}
			}
			if err := end(thief); err != nil {
				t.Fatal(err)
			}
			before := h.state()
			for _, r := range requests {
				// Of two wrong codes nothing would be written anyway.
				if status, body := r.rest(t); status != 401 && (status != 400 || !strings.Contains(r.body, "codes")) {
					t.Errorf("%s after %s: %d %s", r.body, name, status, body)
				}
			}
			h.unchanged(before)
		})
	}
	if refused := h.must("GET", "/api/v1/audit?kind=authorization.refused", "").body; !strings.Contains(refused, `"route":"POST /api/v1/tokens"`) {
		t.Errorf("it left no trace: %s", refused)
	}
}
