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
)

// next is the address of the next page, relative to the list's; "" where there
// is none.
func next(a answer) string {
	address, _, _ := strings.Cut(a.header.Get("Link"), ">")
	return strings.TrimPrefix(address, "<")
}

// names are the words that every row of a list has under a key.
func names(t *testing.T, a answer, key string) []string {
	t.Helper()
	var rows []map[string]any
	if err := json.Unmarshal([]byte(a.body), &rows); err != nil {
		t.Fatalf("%v: %s", err, a.body)
	}
	out := []string{}
	for _, r := range rows {
		out = append(out, fmt.Sprint(r[key]))
	}
	return out
}

// furnish puts a few of everything into the world.
func (w *world) furnish() {
	w.t.Helper()
	for i := range 7 {
		w.must("POST", "/api/v1/users", fmt.Sprintf(`{"name":"User-%d"}`, i))
		w.must("POST", fmt.Sprintf("/api/v1/users/user-%d/authenticators", i%2), `{"kind":"totp"}`)
		w.must("POST", "/api/v1/policies", fmt.Sprintf(`{"name":"p%d","priority":%d}`, i, 90-i))
		w.must("POST", "/api/v1/tokens", fmt.Sprintf(`{"label":"%d"}`, i))
		w.must("POST", "/api/v1/machine-tokens", "{}")
		w.join(fmt.Sprintf("PC-%d", i))
	}
}

// join enrolls a machine.
func (w *world) join(name string) latchkey.Machine {
	w.t.Helper()
	made := w.machineToken("{}")
	m, err := w.db.Join(w.t.Context(), made, machineNamed(name), latchkey.Event{Kind: latchkey.MachineEnrolled})
	if err != nil {
		w.t.Fatal(err)
	}
	return m
}

func TestEveryListComesInPagesAndWhole(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.furnish()
	w.enrollEverywhere()
	for i := range 3 {
		w.must("POST", fmt.Sprintf("/api/v1/users/user-%d/authenticators", i), `{"kind":"hotp"}`)
	}
	for path, key := range map[string]string{
		"/api/v1/users": "id", "/api/v1/machines": "id", "/api/v1/policies": "name", "/api/v1/tokens": "id",
		"/api/v1/machine-tokens": "id", "/api/v1/users/user-0/authenticators": "id",
		"/api/v1/enrollments": "machine", "/api/v1/enrollments?user=USER-1": "machine",
		"/api/v1/hotp-sizes": "user", "/api/v1/hotp-sizes?back=7&days=2&variance=0": "user",
	} {
		t.Run(path, func(t *testing.T) {
			whole := names(t, w.must("GET", path, ""), key)
			if len(whole) < 3 {
				t.Fatalf("the list has %d rows", len(whole))
			}
			for limit := 1; limit <= len(whole)+1; limit++ {
				base, query, _ := strings.Cut(path, "?")
				var paged []string
				for address := fmt.Sprintf("?%s&limit=%d", query, limit); address != ""; {
					a := w.must("GET", base+strings.Replace(address, "?&", "?", 1), "")
					page := names(t, a, key)
					if len(page) > limit || len(page) == 0 {
						t.Fatalf("a page of %d has %d rows", limit, len(page))
					}
					paged, address = append(paged, page...), next(a)
				}
				if !slices.Equal(paged, whole) {
					t.Fatalf("in pages of %d: %v\nwhole: %v", limit, paged, whole)
				}
			}
		})
	}
}

func TestTheTrailPagesBackInTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.furnish()
	whole := names(t, w.must("GET", "/api/v1/audit?limit=1000&kind=user.added", ""), "id")
	var paged []string
	for address := "?limit=3&kind=user.added"; address != ""; {
		a := w.must("GET", "/api/v1/audit"+address, "")
		paged, address = append(names(t, a, "id"), paged...), next(a)
	}
	if len(whole) != 7 || !slices.Equal(paged, whole) {
		t.Errorf("in pages %v\nwhole %v", paged, whole)
	}
}

// A row that comes or goes between two pages doubles and hides no other.
func TestPagesStandAChangeBetweenThem(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.furnish()
	a := w.must("GET", "/api/v1/users?limit=3", "")
	first := names(t, a, "name")
	w.must("DELETE", "/api/v1/users/"+first[2], "")
	w.must("POST", "/api/v1/users", `{"name":"User-00"}`)
	rest := names(t, w.must("GET", "/api/v1/users"+next(a), ""), "name")
	if got, want := append(first, rest...), []string{"User-0", "User-1", "User-2", "User-3", "User-4", "User-5"}; !slices.Equal(got, want) {
		t.Errorf("read %v, want %v", got, want)
	}
	a = w.must("GET", "/api/v1/tokens?limit=1", "")
	a = w.must("GET", "/api/v1/tokens"+next(a), "")
	w.must("DELETE", "/api/v1/tokens/"+names(t, a, "id")[0], "")
	if b := w.send("GET", "/api/v1/tokens"+next(a), "", nil); b.status != http.StatusConflict {
		t.Errorf("after a row that is gone, of a list in no order of a key: %d %s", b.status, b.body)
	}
}

func TestACursorOfAnotherListIsNone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.furnish()
	cursor := next(w.must("GET", "/api/v1/tokens?limit=1", ""))
	for _, path := range []string{
		"/api/v1/users" + cursor, "/api/v1/users?cursor=zq9poison", "/api/v1/users?cursor=" + strings.Repeat("A", 100_000),
		"/api/v1/enrollments" + cursor, "/api/v1/machines?limit=-1", "/api/v1/machines?limit=1001", "/api/v1/policies?limit=x",
	} {
		a := w.send("GET", path, "", nil)
		if a.status != 400 || a.problem.Code != latchkey.Invalid || strings.Contains(a.body, "poison") {
			t.Errorf("%.60s: %d %.200s", path, a.status, a.body)
		}
	}
}

// enrollEverywhere lets the first two users log in on every machine.
func (w *world) enrollEverywhere() {
	w.t.Helper()
	machines, err := w.db.Machines(w.t.Context(), latchkey.Page{})
	if err != nil {
		w.t.Fatal(err)
	}
	for i := range 2 {
		u, err := w.db.UserNamed(w.t.Context(), fmt.Sprintf("user-%d", i))
		if err != nil {
			w.t.Fatal(err)
		}
		for _, m := range machines {
			if _, err := w.db.Settle(w.t.Context(), enrolled(time.Now(), u, m)); err != nil {
				w.t.Fatal(err)
			}
		}
	}
}
