//go:build linux

package agent_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"latchkey"
	"latchkey/internal/agent"
	"latchkey/internal/api"
)

// sparing is a server that sends at most five chunks in one answer.
func sparing(h http.Handler, answers *atomic.Int32) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path != api.BundlePath {
			h.ServeHTTP(rw, r)
			return
		}
		answers.Add(1)
		whole := httptest.NewRecorder()
		h.ServeHTTP(whole, r)
		var b api.BundleResponse
		if err := json.Unmarshal(whole.Body.Bytes(), &b); err != nil {
			rw.WriteHeader(http.StatusInternalServerError)
			return
		}
		b.Chunks = b.Chunks[:min(len(b.Chunks), 5)]
		rw.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(rw).Encode(b)
	})
}

func TestABundleThatIsTooBigForOneAnswerArrivesInParts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.user("ana")
	days := 14
	w.policy(func(p *latchkey.Policy) { p.Offline.Days = &days })
	var answers atomic.Int32
	w.door.Handler = sparing(w.door.Handler, &answers)
	w.unplug()
	w.plug()
	w.start()
	w.expect(w.signIn("ana", w.next("ana")), "allow verified_online", "the first login")
	w.sync()
	if s := w.status(); s.Problem != "" || s.Users[0].User != "ana" || answers.Load() < 3 {
		t.Fatalf("%d answers, %+v", answers.Load(), s)
	}
	w.unplug()
	w.pass(13 * 24 * time.Hour)
	w.expect(w.signIn("ana", w.next("ana")), "allow verified_offline", "on the last day but one")
	w.pass(24 * time.Hour)
	w.expect(w.signIn("ana", w.next("ana")), "deny offline_limit_reached", "C02 after two weeks")
}

func TestASyncEndsTheMemoryOfAFailure(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.user("ana")
	w.start()
	w.expect(w.signIn("ana", w.next("ana")), "allow verified_online", "the first login")
	w.sync()
	w.unplug()
	w.expect(w.signIn("ana", w.next("ana")), "allow verified_offline", "without the server")
	w.plug()
	w.sync()
	w.expect(w.signIn("ana", w.next("ana")), "allow verified_online", "the first login after a sync")
}

func TestL03WhoIsDisenrolledIsWipedAtTheNextContact(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.user("ana")
	w.start()
	w.expect(w.signIn("ana", w.next("ana")), "allow verified_online", "the first login")
	w.sync()
	u, err := w.db.UserNamed(t.Context(), "ana")
	w.ok(err)
	m, err := w.db.MachineNamed(t.Context(), "pc-1")
	w.ok(err)
	w.ok(w.db.Disenroll(t.Context(), u.ID, m.ID, latchkey.Event{Kind: latchkey.EnrollmentRemoved}))
	w.sync()
	rows, err := w.db.EnrollmentRows(t.Context(), "", "", latchkey.Page{})
	w.ok(err)
	for _, r := range rows {
		if r.User.Name == "ana" {
			t.Errorf("L03 the server still waits for the wipe: %+v", r)
		}
	}
	w.unplug()
	if got := w.signIn("ana", w.next("ana")); !strings.HasPrefix(got, "deny") {
		t.Errorf("L04 without the server: %s", got)
	}
}

func TestADiskThatCannotBeWrittenDeniesNobodyOnlineForItsBundle(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.user("ana")
	// A file where the users' folder belongs: no bundle can be kept.
	w.ok(os.WriteFile(filepath.Join(w.state, "users"), nil, 0o600))
	w.start()
	w.expect(w.signIn("ana", w.next("ana")), "allow verified_online", "the first login")
	if _, err := agent.NewAdmin(w.admin).Sync(t.Context()); err == nil {
		t.Error("the sync says that all is well")
	}
	contains(t, w.status().Problem, "may do offline")
	w.expect(w.signIn("ana", w.next("ana")), "allow verified_online", "and nobody is denied for it")
}

// A server that was never asked before is asked by the syncer's start.
func TestEventsAreDeliveredAfterARestart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.user("ana")
	w.start()
	w.expect(w.signIn("ana", w.next("ana")), "allow verified_online", "the first login")
	w.sync()
	w.unplug()
	w.expect(w.signIn("ana", w.next("ana")), "allow verified_offline", "without the server")
	w.stop()
	w.plug()
	w.start()
	w.sync()
	if s := w.status(); s.PendingEvents != 0 {
		t.Errorf("%d events were not delivered", s.PendingEvents)
	}
}
