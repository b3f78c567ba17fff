package httpd_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"latchkey"
)

// A token for a rollout lies in many hands: it is good for machines of the
// names it was made for, and where it says so none of them counts before
// somebody has looked.
func TestADeploymentTokenIsGoodForItsMachinesOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	try := func(hash []byte, name string) string {
		m, err := w.db.Join(t.Context(), hash, machineNamed(name), latchkey.Event{Kind: latchkey.MachineEnrolled})
		if err != nil {
			return string(latchkey.CodeOf(err))
		}
		return string(m.State)
	}
	expect := func(what, got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %s, want %s", what, got, want)
		}
	}
	lab := w.machineToken(`{"uses":3,"name_pattern":"Lab-??","approve":true}`)
	expect("another name", try(lab, "pc-1"), "forbidden")
	expect("a longer name", try(lab, "lab-123"), "forbidden")
	expect("a name of the pattern", try(lab, "lab-01"), "pending")
	expect("in capitals", try(lab, "LAB-02"), "pending")
	w.must("POST", "/api/v1/machines/lab-01/approve", "")
	if body := w.must("GET", "/api/v1/machines/lab-01", "").body; !strings.Contains(body, `"state":"active"`) {
		t.Errorf("approved: %s", body)
	}
	expect("the third use: what was refused took none", try(lab, "lab-03"), "pending")
	expect("a fourth", try(lab, "lab-04"), "exhausted")
	ids := names(t, w.must("GET", "/api/v1/machine-tokens", ""), "id")
	w.must("DELETE", "/api/v1/machine-tokens/"+ids[0], "")
	expect("after its end", try(lab, "lab-05"), "unauthorized")
	for _, bad := range []string{"[", "a/b", " ", strings.Repeat("x", 300), "a\\u0007"} {
		if a := w.send("POST", "/api/v1/machine-tokens", fmt.Sprintf(`{"name_pattern":"%s"}`, bad), nil); a.status != 400 {
			t.Errorf("the pattern %q: %d %s", bad, a.status, a.body)
		}
	}
}

// tagged sends a request about what had a tag when it was read.
func (w *world) tagged(method, path, tag string) answer {
	w.t.Helper()
	return w.send(method, path, "", func(r *http.Request) { r.Header.Set("If-Match", tag) })
}

func TestADeleteOfAStaleReadingIsAConflict(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must("POST", "/api/v1/policies", `{"name":"a","priority":1}`)
	old := w.must("GET", "/api/v1/policies/a", "").header.Get("ETag")
	w.must("POST", "/api/v1/policies", `{"name":"a","priority":2}`)
	now := w.must("GET", "/api/v1/policies/a", "").header.Get("ETag")
	if a := w.tagged("DELETE", "/api/v1/policies/a", old); a.status != 409 || a.problem.Code != latchkey.Conflict {
		t.Errorf("of what it was: %d %s", a.status, a.body)
	}
	if a := w.tagged("DELETE", "/api/v1/policies/a", now); a.status != 204 {
		t.Errorf("of what it is: %d %s", a.status, a.body)
	}
}
