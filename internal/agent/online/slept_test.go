package online

import (
	"encoding/json"
	"errors"
	"net/http"
	"testing"

	"latchkey"
	"latchkey/internal/api"
	"latchkey/internal/logon"
	"latchkey/internal/seal"
)

// D08: what the vault knows to be from before a sleep is no answer, and says
// nothing about the server either: the next login asks it again.
func TestAnAnswerThatSleptIsNoFaultOfTheServers(t *testing.T) {
	t.Parallel()
	var w *world
	w = newWorld(t, func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == api.HealthPath {
			var q api.HealthRequest
			_ = json.NewDecoder(r.Body).Decode(&q)
			doc, _ := json.Marshal(api.Health{Nonce: q.Nonce})
			raw, _ := seal.Sign(w.sign, api.HealthType, doc)
			reply(rw, map[string][]byte{"health": raw})
			return
		}
		reply(rw, api.Turn{Verdict: w.verdict(t, r, api.Verdict{Outcome: latchkey.Allowed, Reason: latchkey.VerifiedOnline})})
	})
	w.notes.fail = logon.ErrSlept
	turn, err := w.Begin(t.Context(), ana)
	if !errors.Is(err, logon.ErrUnreachable) || !errors.Is(err, logon.ErrSlept) || turn.Verdict != nil {
		t.Errorf("%+v, %v; want unreachable", turn, err)
	}
	if w.Down() {
		t.Error("the server counts as down")
	}
	if err := w.Health(t.Context()); !errors.Is(err, logon.ErrSlept) {
		t.Errorf("health: %v", err)
	}
	if err := w.Reach(t.Context()); !errors.Is(err, logon.ErrSlept) || !errors.Is(err, logon.ErrUnreachable) {
		t.Errorf("before a sync: %v", err)
	}
	if heard, _ := w.Contact(); !heard.IsZero() {
		t.Error("it is remembered as contact")
	}
	if got := w.notes.String(); got != "absorb allow, contact, contact" {
		t.Errorf("noted %q: a sleep is no alarm", got)
	}
}
