package httpd_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"

	"latchkey"
)

func TestN20AStaleEditIsAConflict(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must("POST", "/api/v1/policies", `[{"name":"a","priority":1},{"name":"b","priority":2}]`)
	set := func(tag, body string) answer {
		return w.send("POST", "/api/v1/policies", body, func(r *http.Request) {
			if tag != "" {
				r.Header.Set("If-Match", tag)
			}
		})
	}
	list, one := w.must("GET", "/api/v1/policies", "").header.Get("ETag"), w.must("GET", "/api/v1/policies/A", "").header.Get("ETag")
	if !strings.HasPrefix(list, `"`) || list == one {
		t.Fatalf("tags %s %s", list, one)
	}
	for _, step := range []struct {
		what, tag, body string
		status          int
	}{
		{"an edit of what was read", one, `{"name":"a","priority":11}`, 200},
		{"a second edit of it", one, `{"name":"a","priority":12}`, 409},
		{"an edit of another by the same tag", one, `{"name":"b","priority":12}`, 409},
		{"an edit of an old list", list, `{"name":"b","priority":12}`, 409},
		{"a new policy by an old list", list, `{"name":"c","priority":12}`, 409},
		{"nonsense", `"x"`, `{"name":"a","priority":12}`, 409},
		{"any tag at all", `*`, `{"name":"a","priority":12}`, 400},
		{"two tags", `"x", "y"`, `{"name":"a","priority":12}`, 400},
		{"a tag without its marks", `x`, `{"name":"a","priority":12}`, 400},
		{"a weak tag", `W/"x"`, `{"name":"a","priority":12}`, 400},
		{"an edit without a tag", "", `{"name":"a","priority":13}`, 200},
	} {
		if a := set(step.tag, step.body); a.status != step.status || a.status == 409 && a.problem.Code != latchkey.Conflict {
			t.Errorf("%s: %d %s", step.what, a.status, a.body)
		}
	}
	list = w.must("GET", "/api/v1/policies", "").header.Get("ETag")
	if a := set(list, `[{"name":"a","priority":14},{"name":"b","priority":15}]`); a.status != 200 {
		t.Errorf("an edit of the list that was read: %d %s", a.status, a.body)
	}

	one = w.must("GET", "/api/v1/policies/a", "").header.Get("ETag")
	var mu sync.Mutex
	var wg sync.WaitGroup
	won := 0
	for i := range 20 {
		wg.Go(func() {
			a := set(one, `{"name":"a","priority":`+strings.Repeat("1", 1+i%3)+`00`+string(rune('1'+i%9))+`}`)
			mu.Lock()
			defer mu.Unlock()
			if a.status == 200 {
				won++
			}
		})
	}
	wg.Wait()
	if won != 1 {
		t.Errorf("%d of 20 edits of one reading were taken", won)
	}
}

// A script whose variable is empty means a condition, and must not find that it
// named none.
func TestAnEmptyConditionIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must("POST", "/api/v1/policies", `[{"name":"a","priority":1}]`)
	for _, tags := range [][]string{{""}, {" "}, {"", `"x"`}, {`"x"`, `"y"`}} {
		with := func(r *http.Request) { r.Header["If-Match"] = tags }
		if a := w.send("POST", "/api/v1/policies", `{"name":"a","priority":2}`, with); a.status != 400 || a.problem.Code != latchkey.Invalid {
			t.Errorf("an edit with %q: %d %s", tags, a.status, a.body)
		}
		if a := w.send("DELETE", "/api/v1/policies/a", "", with); a.status != 400 {
			t.Errorf("a removal with %q: %d %s", tags, a.status, a.body)
		}
	}
}
