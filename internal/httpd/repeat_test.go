package httpd_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"latchkey"
	"latchkey/internal/api"
	"latchkey/internal/httpd"
)

// keyed sends a command under a key.
func (w *world) keyed(key, method, path, body string) answer {
	w.t.Helper()
	return w.send(method, path, body, func(r *http.Request) { r.Header.Set("Idempotency-Key", key) })
}

func TestACommandThatIsSentAgainIsCarriedOutOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const users, keys = "/api/v1/users", "/api/v1/users/ana/authenticators"
	first, again := w.keyed("a", "POST", users, `{"name":"ana"}`), w.keyed("a", "POST", users, `{"name":"ana"}`)
	if first.status != 201 || again.status != 201 || first.body != again.body || again.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("again: %d %s\nfirst: %d %s", again.status, again.body, first.status, first.body)
	}
	if a := w.keyed("b", "POST", users, `{"name":"ana"}`); a.status != 409 || a.problem.Code != latchkey.Conflict {
		t.Errorf("under another key: %d %s", a.status, a.body)
	}
	// A secret is shown once, and to whoever lost that answer.
	first, again = w.keyed("c", "POST", keys, `{"kind":"totp"}`), w.keyed("c", "POST", keys, `{"kind":"totp"}`)
	var made api.NewAuthenticator
	if json.Unmarshal([]byte(again.body), &made) != nil || len(made.Secret) != 32 || first.body != again.body {
		t.Errorf("again %s\nfirst %s", again.body, first.body)
	}
	if n := strings.Count(w.must("GET", keys, "").body, `"totp"`); n != 1 {
		t.Errorf("%d authenticators", n)
	}
	for name, try := range map[string]func() answer{
		"another body":    func() answer { return w.keyed("a", "POST", users, `{"name":"ben"}`) },
		"another address": func() answer { return w.keyed("a", "POST", users+"/ana/disable", "") },
		"another user's":  func() answer { return w.keyed("c", "POST", "/api/v1/users/ben/authenticators", `{"kind":"totp"}`) },
	} {
		if a := try(); a.status != 422 || a.problem.Code != latchkey.KeyReused {
			t.Errorf("%s under a known key: %d %s", name, a.status, a.body)
		}
	}
	// No answer at all is an answer too.
	first, again = w.keyed("d", "POST", users+"/ana/disable", ""), w.keyed("d", "POST", users+"/ana/disable", "")
	if first.status != 204 || again.status != 204 || again.body != "" || again.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("without a body: %d %q", again.status, again.body)
	}
	for _, key := range []string{"", "a b", "ü", strings.Repeat("x", 256)} {
		if a := w.keyed(key, "POST", users, `{"name":"eve"}`); a.status != 400 || a.problem.Code != latchkey.Invalid {
			t.Errorf("the key %q: %d %s", key, a.status, a.body)
		}
	}
}

func TestAKeyBelongsToOneToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ben := w.hire("ben", latchkey.Administrator)
	mine := w.keyed("k", "POST", "/api/v1/tokens", `{"label":"mine"}`)
	his := w.send("POST", "/api/v1/tokens", `{"label":"mine"}`, func(r *http.Request) {
		r.Header.Set("Authorization", "Bearer "+ben)
		r.Header.Set("Idempotency-Key", "k")
	})
	var a, b api.NewAPIToken
	if json.Unmarshal([]byte(mine.body), &a) != nil || json.Unmarshal([]byte(his.body), &b) != nil || a.Token == b.Token || b.Admin != "ben" {
		t.Errorf("root was answered %s\nben %s", mine.body, his.body)
	}
	w.must("DELETE", "/api/v1/tokens/"+a.ID, "")
	if again := w.send("POST", "/api/v1/tokens", `{"label":"mine"}`, func(r *http.Request) {
		r.Header.Set("Authorization", "Bearer "+a.Token)
		r.Header.Set("Idempotency-Key", "k")
	}); again.status != 401 {
		t.Errorf("with a token that has ended: %d", again.status)
	}
}

func TestARefusalIsNotRemembered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if a := w.keyed("k", "POST", "/api/v1/users/ana/authenticators", `{"kind":"totp"}`); a.status != 404 {
		t.Fatalf("for nobody: %d", a.status)
	}
	w.must("POST", "/api/v1/users", `{"name":"ana"}`)
	if a := w.keyed("k", "POST", "/api/v1/users/ana/authenticators", `{"kind":"totp"}`); a.status != 201 {
		t.Errorf("now that she is there: %d %s", a.status, a.body)
	}
}

func TestOfManyAtOnceOneIsCarriedOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var mu sync.Mutex
	bodies := map[string]int{}
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			a := w.keyed("k", "POST", "/api/v1/tokens", `{}`)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case a.status == 201:
				bodies[a.body]++
			case a.status != 409 || a.problem.Code != latchkey.InProgress:
				t.Errorf("%d %s", a.status, a.body)
			}
		})
	}
	wg.Wait()
	if len(bodies) != 1 {
		t.Errorf("%d different answers", len(bodies))
	}
	if n := strings.Count(w.must("GET", "/api/v1/tokens", "").body, `"id"`); n != 2 { // root's own, and one
		t.Errorf("%d tokens", n)
	}
}

func TestAnAnswerThatIsKeptIsSealed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var made api.NewAPIToken
	if err := json.Unmarshal([]byte(w.keyed("k", "POST", "/api/v1/tokens", `{}`).body), &made); err != nil {
		t.Fatal(err)
	}
	// Everything that the database holds is in a backup, on every engine.
	if _, err := w.db.Backup(t.Context(), filepath.Join(w.db.Dir(), "backup"), ""); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(w.db.Dir(), "*"))
	if err != nil || len(files) < 2 {
		t.Fatalf("files %v: %v", files, err)
	}
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(raw), strings.TrimPrefix(made.Token, httpd.TokenPrefix)) {
			t.Errorf("%s holds the token", filepath.Base(f))
		}
	}
}

// Some commands are several transactions: after half of one, or a commit of
// which nobody knows whether it took place, a repeat would make a second token
// that nobody sees.
func TestACommandThatMayHaveWrittenIsNotCarriedOutAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	busy := latchkey.Errorf(latchkey.Busy, "the database is too slow")
	unknown := latchkey.Errorf(latchkey.Unknown, "it is not known whether it is there")
	invalid := latchkey.Errorf(latchkey.Invalid, "no")
	for name, c := range map[string]struct {
		writes bool
		err    error
		status int
		runs   int
	}{
		"busy before anything was written": {false, busy, 503, 2},
		"busy when half was written":       {true, busy, 503, 1},
		"refused":                          {false, invalid, 400, 2},
		"refused when half was written":    {true, invalid, 400, 1},
		"a commit that was cut off":        {false, unknown, 504, 1},
	} {
		t.Run(name, func(t *testing.T) {
			runs := 0
			h := httpd.Once(w.db, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				runs++
				if c.writes {
					if err := w.db.Record(r.Context(), latchkey.Event{Kind: latchkey.ServerStarted}); err != nil {
						t.Error(err)
					}
				}
				httpd.Refuse(rw, r, c.err)
			}))
			var last *httptest.ResponseRecorder
			for i := range 2 {
				r := httptest.NewRequestWithContext(t.Context(), "POST", "/"+url.PathEscape(name), nil)
				r.Header.Set("Idempotency-Key", "k"+strings.ReplaceAll(name, " ", "-"))
				last = httptest.NewRecorder()
				h.ServeHTTP(last, r)
				if i == 0 && last.Code != c.status {
					t.Errorf("%d %s", last.Code, last.Body)
				}
			}
			if runs != c.runs || runs == 1 && !strings.Contains(last.Body.String(), string(latchkey.Interrupted)) {
				t.Errorf("carried out %d times; at last %d %s", runs, last.Code, last.Body)
			}
		})
	}
}
