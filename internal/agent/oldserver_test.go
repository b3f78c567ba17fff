//go:build linux

package agent_test

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"latchkey"
	"latchkey/internal/agent"
	"latchkey/internal/agent/boxfile"
	"latchkey/internal/agent/keystore"
	"latchkey/internal/agent/online"
	"latchkey/internal/api"
	"latchkey/internal/logon"
	"latchkey/internal/otp"
	"latchkey/internal/vault"
)

// A parrot says again what a server of an earlier version said.
type parrot struct {
	*world
	now    atomic.Pointer[exchange]
	client *online.Client
	vault  *vault.Vault
	began  time.Time
}

// Read makes the nonce of this question that of the recorded one, which is what
// the recorded answer is signed for.
func (p *parrot) Read(b []byte) (int, error) {
	var q struct{ Nonce string }
	x := p.now.Load()
	if x == nil || len(b) != 16 || json.Unmarshal(x.Request, &q) != nil || q.Nonce == "" {
		return rand.Read(b)
	}
	return hex.Decode(b, []byte(q.Nonce))
}

func (p *parrot) reading() vault.Reading {
	at := p.began
	if x := p.now.Load(); x != nil {
		at = x.At
	}
	return vault.Reading{Wall: at, Boot: time.Hour + at.Sub(p.began), BootID: "boot-1"}
}

func (p *parrot) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	x := p.now.Load()
	if x.Path != r.URL.Path {
		http.Error(w, "another question", http.StatusTeapot)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(x.Status)
	_, _ = w.Write(x.Response)
}

// open has a machine of today on the state of then ask the parrot.
func (p *parrot) open() {
	p.Helper()
	p.anew(p)
	box, who, err := boxfile.Open(p.state)
	p.ok(err)
	keys, err := keystore.Open(boxfile.KeysDir(p.state))
	p.ok(err)
	p.vault, err = vault.Open(vault.Config{
		Deployment: who.Deployment, Machine: who.Machine, Class: keys.Class(), Agent: agent.Version,
		Sealing: keys.Sealing(), Rand: p, Clock: p.reading, Box: box,
	})
	p.ok(err)
	pin, err := online.ParsePin(who.Pins[0])
	p.ok(err)
	identity := keys.Identity()
	p.client = online.New(online.Config{
		URLs: []string{"https://" + p.addr}, Pins: []online.Pin{pin}, Identity: &identity, Memory: p.vault,
		Floor: p.vault.Floor, Alone: p.vault.Alone, Now: time.Now, Alarm: func(what string, err error) { p.Errorf("alarm %s: %v", what, err) },
		Budgets: online.Budgets{Connect: 30 * time.Second, Total: time.Minute, Sync: time.Minute},
	})
	p.Cleanup(func() { p.client.Close(); p.ok(p.vault.Close()); p.ok(box.Close()) })
}

// hear asks what was asked then; the outcome is that of a verdict, or "".
func (p *parrot) hear(x *exchange) (logon.Turn, error) {
	p.now.Store(x)
	switch x.Path {
	case api.BeginPath:
		var q api.BeginRequest
		p.ok(json.Unmarshal(x.Request, &q))
		return p.client.Begin(p.Context(), q.Logon)
	case api.AnswerPath:
		var q api.AnswerRequest
		p.ok(json.Unmarshal(x.Request, &q))
		return p.client.Answer(p.Context(), q.Logon, latchkey.Answer{State: q.State, Value: q.Value.Bytes})
	case api.SyncPath:
		var q api.SyncRequest
		p.ok(json.Unmarshal(x.Request, &q))
		ask, err := p.vault.Inquire(time.Minute)
		p.ok(err)
		response, err := p.client.Sync(p.Context(), q)
		if err == nil {
			_, err = p.vault.Merge(ask, q, response)
		}
		return logon.Turn{}, err
	case api.HealthPath:
		return logon.Turn{}, p.client.Health(p.Context())
	case api.BundlePath:
		var q api.BundleRequest
		p.ok(json.Unmarshal(x.Request, &q))
		response, err := p.client.Bundle(p.Context(), q)
		if err == nil {
			err = p.vault.Store(response)
		}
		return logon.Turn{}, err
	}
	p.Fatalf("nobody asks for %s any more", x.Path)
	return logon.Turn{}, nil
}

// What a server of an earlier version answers is understood and believed: the
// machines may be upgraded before it.
func TestOldServersAreUnderstood(t *testing.T) {
	t.Parallel()
	for _, archive := range versions(t) {
		t.Run(filepath.Base(archive), func(t *testing.T) {
			t.Parallel()
			w, s := left(t, archive, "joined")
			w.offset.Store(int64(time.Until(s.Joined)))
			p := &parrot{world: w, began: s.Joined}
			p.open()
			verdicts := 0
			var last time.Time
			for i := range s.Exchanges {
				x := &s.Exchanges[i]
				if bytes.Contains(x.Request, []byte(`"events":[{`)) {
					break // it tells of logins that this machine has not had
				}
				turn, err := p.hear(x)
				if err != nil {
					t.Fatalf("exchange %d, %s: %v", i, x.Path, err)
				}
				if want := verdictOf(t, x.Response); turn.Verdict != nil && (turn.Verdict.Outcome != want.Outcome || turn.Verdict.Reason != want.Reason) {
					t.Errorf("exchange %d: %s %s, the server said %s %s", i, turn.Verdict.Outcome, turn.Verdict.Reason, want.Outcome, want.Reason)
				}
				if turn.Verdict != nil {
					verdicts++
				}
				last = x.At
			}
			if verdicts < 3 {
				t.Errorf("only %d verdicts were heard", verdicts)
			}
			p.expectOffline(last.Add(time.Minute))
		})
	}
}

// expectOffline wants ana let in by the vault with what the old server issued.
func (p *parrot) expectOffline(at time.Time) {
	p.Helper()
	p.now.Store(&exchange{At: at})
	c, err := otp.Code(p.keys["ana"], otp.Step(at, 30), otp.SHA1, 6)
	p.ok(err)
	uid := uint32(1001)
	l := latchkey.Logon{ID: latchkey.LogonID(hex.EncodeToString(make([]byte, 16))), User: "ana", UID: &uid, Scenario: latchkey.Console, Service: "login", Local: true}
	turn, err := p.vault.Begin(p.Context(), l)
	p.ok(err)
	if turn.Prompt == nil {
		p.Fatalf("nothing is asked: %+v", turn.Verdict)
	}
	turn, err = p.vault.Answer(p.Context(), l, latchkey.Answer{Prompt: turn.Prompt.ID, State: turn.Prompt.State, Value: []byte(otp.Format(c, 6))})
	p.ok(err)
	if turn.Verdict == nil || turn.Verdict.Reason != latchkey.VerifiedOffline {
		p.Errorf("with the old server's codes: %+v", turn.Verdict)
	}
}
