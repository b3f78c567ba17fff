package httpd_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// raw sends a beginning of a request, as it is, and returns all that comes back
// until the server closes.
func (w *world) raw(request string) string {
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", strings.TrimPrefix(w.URL, "http://"))
	if err != nil {
		return err.Error()
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	if _, err := io.WriteString(c, request); err != nil {
		return err.Error()
	}
	all, err := io.ReadAll(c)
	if err != nil {
		return "still waiting: " + err.Error()
	}
	return string(all)
}

func begun(method, path, header string, length int) string {
	return fmt.Sprintf("%s /api/v1/%s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%s\r\n", method, path, length, header)
}

// Whoever announces more than anybody may send, or a body where none is taken,
// or has no token, is answered before it arrives, and his connection is not held.
func TestNobodyWaitsForABodyThatIsNotRead(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	mine := "Authorization: Bearer " + token + "\r\n"
	var wg sync.WaitGroup
	for what, c := range map[string]struct{ request, want string }{
		"a hundred megabytes":           {begun("POST", "users", mine, 100<<20) + "{", "413"},
		"a hundred megabytes, expected": {begun("POST", "users", mine+"Expect: 100-continue\r\n", 100<<20), "413"},
		"and without a token":           {begun("POST", "users", "", 100<<20), "413"},
		"two megabytes to unlock":       {begun("POST", "users/user-0/unlock", mine, 2<<20), "413"},
		"a body for unlock":             {begun("POST", "users/user-0/unlock", mine, 100) + "{", "400"},
		"a slow DELETE":                 {begun("DELETE", "users/user-0", mine, 100) + "{", "400"},
		"a slow DELETE of another type": {strings.Replace(begun("DELETE", "users/user-0", mine, 100), "/json", "/x", 1) + "{", "400"},
		"a slow GET":                    {begun("GET", "users", mine, 100) + "{", "400"},
		"slow and without a token":      {begun("POST", "users", "", 100) + "{", "401"},
		"slow and to nowhere":           {begun("POST", "nowhere", mine, 100) + "{", "404"},
	} {
		wg.Go(func() {
			got := h.raw(c.request)
			if !strings.HasPrefix(got, "HTTP/1.1 "+c.want) || !strings.Contains(got, `"code":"`) {
				t.Errorf("%s: answered %.500q, want %s", what, got, c.want)
			}
		})
	}
	wg.Wait()
}

// The limit is the same for who does not announce how much he sends.
func TestAnUnannouncedBodyHasItsLimits(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	stream := func(method, path string, body io.Reader) answer {
		return h.send(method, path, "", func(q *http.Request) {
			q.Body, q.ContentLength = io.NopCloser(body), -1
			q.Header.Set("Content-Type", "application/json")
		})
	}
	h.refused("more than a megabyte", stream("POST", "/api/v1/users", strings.NewReader(strings.Repeat(" ", 1<<20)+`{"name":"zoe"}`)), 413)
	h.refused("something for unlock", stream("POST", "/api/v1/users/user-0/unlock", strings.NewReader(`{"a":1}`)), 400)
	h.refused("something for a GET", stream("GET", "/api/v1/users", strings.NewReader(`[]`)), 400)
	for what, body := range map[string]string{"nothing at all": "", "an empty object": " {}\n"} {
		if a := stream("POST", "/api/v1/users/user-0/unlock", io.MultiReader(strings.NewReader(body))); a.status != 204 {
			t.Errorf("%s: %d %s", what, a.status, a.body)
		}
		if a := h.send("POST", "/api/v1/users/user-0/unlock", body, nil); a.status != 204 {
			t.Errorf("%s, announced: %d %s", what, a.status, a.body)
		}
	}
	if a := stream("POST", "/api/v1/users", strings.NewReader(`{"name":"zoe"}`)); a.status != 201 {
		t.Errorf("a user: %d %s", a.status, a.body)
	}
}

// Over HTTP/2 the problem arrives too, and not its headers alone.
func TestATooLargeBodyIsAnsweredOverHTTP2(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	srv := httptest.NewUnstartedServer(w.Config.Handler)
	srv.EnableHTTP2 = true
	srv.StartTLS()
	defer srv.Close()
	for _, length := range []int64{100 << 20, -1} {
		req, err := http.NewRequestWithContext(t.Context(), "POST", srv.URL+"/api/v1/users", io.LimitReader(spaces{}, 100<<20))
		if err != nil {
			t.Fatal(err)
		}
		req.ContentLength = length
		req.Header.Set("Authorization", "Bearer "+token)
		req.Header.Set("Content-Type", "application/json")
		res, err := srv.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != 413 || res.ProtoMajor != 2 || !strings.Contains(string(body), "the body is too large") {
			t.Errorf("length %d: %s %d %q, %v", length, res.Proto, res.StatusCode, body, err)
		}
	}
}

type spaces struct{}

func (spaces) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}
