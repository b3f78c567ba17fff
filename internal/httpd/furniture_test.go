package httpd_test

import (
	"crypto/ecdh"
	"crypto/rand"
	"encoding/json"
	"time"

	"latchkey"
	"latchkey/internal/api"
	"latchkey/internal/authn"
	"latchkey/internal/seal"
)

// machineToken makes an enrollment token and returns the hash by which it is
// known.
func (w *world) machineToken(body string) []byte {
	w.t.Helper()
	var made api.Token
	if err := json.Unmarshal([]byte(w.must("POST", "/api/v1/machine-tokens", body).body), &made); err != nil {
		w.t.Fatal(err)
	}
	parsed, err := api.ParseToken(made.Token)
	if err != nil {
		w.t.Fatal(err)
	}
	return seal.HashToken(parsed.Secret)
}

// machineNamed is a machine that wants to join, with keys of its own.
func machineNamed(name string) latchkey.Machine {
	identity := make([]byte, 32)
	_, _ = rand.Read(identity) // never fails (crypto/rand)
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	return latchkey.Machine{
		Name: name, State: latchkey.Active, Settings: latchkey.DefaultSettings(), KeyClass: latchkey.Software,
		IdentityHash: identity, SealingKey: key.PublicKey().Bytes(), CreatedAt: time.Now(),
	}
}

// enrolled is what a user's first login on a machine changes.
func enrolled(now time.Time, u latchkey.User, m latchkey.Machine) authn.Settlement {
	return authn.Settlement{
		Now: now, Machine: m.ID, User: u.ID, Enters: true, Anchor: now, Enroll: true,
		Result: authn.Result{Verdict: &api.Verdict{}},
		Event:  latchkey.Event{Time: now, Kind: latchkey.LogonEvent, User: u.ID, UserName: u.Name, Machine: m.ID, Host: m.Name},
	}
}
