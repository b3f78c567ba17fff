package apiclient_test

import (
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"latchkey"
	"latchkey/internal/apiclient"
)

func client(t *testing.T, answer http.HandlerFunc) *apiclient.Client {
	t.Helper()
	srv := httptest.NewTLSServer(answer)
	t.Cleanup(srv.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
	c, err := apiclient.New(srv.URL, "lka_secret", ca, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestOnlyAnAnswerOfOursIsAnAnswer(t *testing.T) {
	t.Parallel()
	say := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		}
	}
	for name, tc := range map[string]struct {
		answer http.HandlerFunc
		code   latchkey.Code // "" for unreachable
	}{
		"a problem":                    {say(404, `{"status":404,"code":"not_found","detail":"no such user"}`), latchkey.NotFound},
		"a problem of a newer server":  {say(403, `{"status":403,"code":"forbidden","more":1}`), latchkey.Forbidden},
		"a proxy's page":               {say(502, `<html>bad gateway</html>`), ""},
		"JSON of something else":       {say(401, `{"error":"login"}`), ""},
		"a captive portal":             {say(200, `<html>welcome</html>`), ""},
		"a redirect is not followed":   {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) }, ""},
		"a connection that is cut off": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out map[string]any
			err := client(t, tc.answer).Do(t.Context(), "GET", apiclient.Path("users"), nil, &out)
			switch {
			case tc.code == "" && !errors.Is(err, apiclient.ErrUnreachable):
				t.Errorf("Do = %v, want unreachable", err)
			case tc.code != "" && latchkey.CodeOf(err) != tc.code:
				t.Errorf("Do = %v, want the code %s", err, tc.code)
			case strings.Contains(err.Error(), "lka_secret"):
				t.Errorf("the error shows the token: %v", err)
			}
		})
	}
}

func TestANameStaysOneSegment(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"ana":       "/api/v1/users/ana",
		"..":        "/api/v1/users/%2E%2E",
		".":         "/api/v1/users/%2E",
		"a/../b":    "/api/v1/users/a%2F..%2Fb",
		"a?b=c#d":   "/api/v1/users/a%3Fb=c%23d",
		"50%":       "/api/v1/users/50%25",
		"Zoë":       "/api/v1/users/Zo%C3%AB",
		"a\r\nb: c": "/api/v1/users/a%0D%0Ab:%20c",
	} {
		if got := apiclient.Path("users", name); got != want {
			t.Errorf("Path(%q) = %s, want %s", name, got, want)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	for _, server := range []string{"", "latchkey.example", "http://latchkey.example", "ftp://x", "https://", "https://user:pass@x"} {
		if _, err := apiclient.New(server, "lka_x", nil, time.Now); latchkey.CodeOf(err) != latchkey.Invalid {
			t.Errorf("New(%q) = %v, want invalid", server, err)
		}
	}
	if _, err := apiclient.New("https://x", "lka_x", []byte("no pem"), time.Now); latchkey.CodeOf(err) != latchkey.Invalid {
		t.Errorf("a CA file without a certificate: %v", err)
	}
}

func TestAnotherCAIsNotBelieved(t *testing.T) {
	t.Parallel()
	srv := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(srv.Close)
	c, err := apiclient.New(srv.URL, "lka_x", nil, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Do(t.Context(), "GET", apiclient.Path("users"), nil, nil); !errors.Is(err, apiclient.ErrUnreachable) {
		t.Errorf("Do = %v, want unreachable", err)
	}
}

// An answer that got lost on the way is asked for again under the same key; a
// command without a key is sent once.
func TestALostAnswerIsAskedForAgain(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	keys, bodies := []string{}, []string{}
	c := client(t, func(w http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		mu.Lock()
		keys, bodies = append(keys, r.Header.Get("Idempotency-Key")), append(bodies, string(raw))
		n := len(keys)
		mu.Unlock()
		switch n {
		case 1:
			panic(http.ErrAbortHandler)
		case 2:
			w.WriteHeader(http.StatusConflict)
			_, _ = w.Write([]byte(`{"status":409,"code":"in_progress","title":"Conflict"}`))
		default:
			_, _ = w.Write([]byte(`{"name":"ana"}`))
		}
	})
	var out struct{ Name string }
	_, err := c.Send(t.Context(), apiclient.Request{Method: "POST", Path: "/api/v1/users", In: map[string]string{"name": "ana"}, Out: &out, Key: "k-1"})
	if err != nil || out.Name != "ana" {
		t.Fatalf("%v, %+v", err, out)
	}
	mu.Lock()
	defer mu.Unlock()
	for i := range keys {
		if len(keys) < 3 || keys[i] != "k-1" || bodies[i] != `{"name":"ana"}` {
			t.Fatalf("sent under %q: %q", keys, bodies)
		}
	}
}

func TestACommandWithoutAKeyIsSentOnce(t *testing.T) {
	t.Parallel()
	var sent atomic.Int32
	c := client(t, func(http.ResponseWriter, *http.Request) { sent.Add(1); panic(http.ErrAbortHandler) })
	if err := c.Do(t.Context(), "POST", "/api/v1/users", nil, nil); !errors.Is(err, apiclient.ErrUnreachable) || sent.Load() != 1 {
		t.Errorf("sent %d times: %v", sent.Load(), err)
	}
}

func TestAListIsReadToItsEnd(t *testing.T) {
	t.Parallel()
	c := client(t, func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		if q.Get("user") != "ana" || q.Get("limit") == "" {
			t.Errorf("asked for %s", r.URL.RawQuery)
		}
		if q.Get("cursor") == "" {
			w.Header().Set("Link", `<?cursor=x&limit=1000&user=ana>; rel="next"`)
		}
		_, _ = fmt.Fprintf(w, `["%s1","%s2"]`, q.Get("cursor"), q.Get("cursor"))
	})
	all, err := apiclient.All[string](t.Context(), c, "/api/v1/enrollments?user=ana")
	if err != nil || strings.Join(all, " ") != "1 2 x1 x2" {
		t.Errorf("%v, %v", all, err)
	}
}
