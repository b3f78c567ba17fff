//go:build linux

package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"latchkey"
	"latchkey/internal/authn"
	"latchkey/internal/fleet"
	"latchkey/internal/logon"
	"latchkey/internal/otp"
	"latchkey/internal/secret"
	"latchkey/internal/store"
)

// BenchmarkServerLogin is a login without network and HTTP: begin and answer,
// on the real store, by 32 at a time.
func BenchmarkServerLogin(b *testing.B) {
	var step atomic.Int64
	start := time.Now().Truncate(30 * time.Second)
	now := func() time.Time { return start.Add(time.Duration(step.Load()) * 30 * time.Second) }
	h := newHot(b, now)
	b.SetParallelism(16)
	var next atomic.Int64
	used := ownCPU()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			n := next.Add(1)
			step.Store(n / int64(len(h.ids))) // a fresh code for everybody
			if err := h.login(int(n), now()); err != nil {
				b.Error(err)
			}
		}
	})
	b.ReportMetric(float64((ownCPU()-used).Microseconds())/float64(b.N), "cpu-µs/op")
}

const hotUsers = 2000

type hot struct {
	authority *authn.Authority
	ids       [hotUsers]latchkey.UserID
	seed      secret.Bytes
}

func newHot(b *testing.B, now func() time.Time) *hot {
	ctx := context.Background()
	db, err := store.Open(ctx, store.Config{Dir: b.TempDir() + "/data", Now: now})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	h := &hot{seed: []byte("12345678901234567890")}
	sem := make(chan error, hotUsers)
	for i := range h.ids {
		go func() {
			u, err := db.AddUser(ctx, latchkey.User{Name: fmt.Sprintf("u%d", i), Directory: latchkey.Builtin}, latchkey.Event{Kind: latchkey.UserAdded})
			if err == nil {
				h.ids[i] = u.ID
				a := latchkey.Authenticator{User: u.ID, Kind: latchkey.TOTP, Algorithm: "SHA1", Digits: 6, Period: 30, CreatedAt: now()}
				_, err = db.AddAuthenticator(ctx, a, append(secret.Bytes(nil), h.seed...), 0, latchkey.Event{Kind: latchkey.AuthenticatorAdded})
			}
			sem <- err
		}()
	}
	for range h.ids {
		if err := <-sem; err != nil {
			b.Fatal(err)
		}
	}
	hash := []byte("token")
	err = db.CreateMachineToken(ctx, fleet.Ticket{Hash: hash, Uses: 1, Actor: "bench", ExpiresAt: now().Add(time.Hour)}, latchkey.Event{Kind: latchkey.MachineTokenCreated})
	if err != nil {
		b.Fatal(err)
	}
	m, err := db.Join(ctx, hash, latchkey.Machine{
		Name: "laptop", Settings: latchkey.DefaultSettings(), KeyClass: latchkey.Software, IdentityHash: []byte{1}, SealingKey: []byte{1},
	}, latchkey.Event{Kind: latchkey.MachineEnrolled})
	if err != nil {
		b.Fatal(err)
	}
	k := db.Keys()
	h.authority = authn.New(db, authn.Keys{Deployment: k.Deployment, Signer: k.Signer, State: k.State}, now).ForMachine(m.ID)
	return h
}

func (h *hot) login(n int, now time.Time) error {
	ctx := context.Background()
	id, err := logon.NewID(rand.Reader)
	if err != nil {
		return err
	}
	l := latchkey.Logon{ID: id, Scenario: latchkey.Console, Service: "login", User: fmt.Sprintf("u%d", n%hotUsers)}
	t, err := h.authority.BeginSigned(ctx, id, l)
	if err != nil {
		return err
	}
	code, err := otp.Code(h.seed, otp.Step(now, 30), otp.SHA1, 6)
	if err != nil {
		return err
	}
	t, err = h.authority.AnswerSigned(ctx, id, l, latchkey.Answer{Value: []byte(otp.Format(code, 6)), State: t.Prompt.State})
	if err == nil && t.Verdict == nil {
		err = fmt.Errorf("no verdict")
	}
	return err
}
