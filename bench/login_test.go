//go:build linux

package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"latchkey"
	"latchkey/internal/authn"
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
			step.Store(n / hotUsers) // a fresh code for everybody
			if err := h.login(int(n), now()); err != nil {
				b.Error(err)
			}
		}
	})
	b.ReportMetric(float64((ownCPU()-used).Microseconds())/float64(b.N), "cpu-µs/op")
}

type hot struct {
	authority *authn.Authority
	seed      secret.Bytes
}

func newHot(b *testing.B, now func() time.Time) *hot {
	db, err := store.Open(context.Background(), store.Config{Dir: b.TempDir() + "/data", Now: now})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	h := &hot{seed: []byte("12345678901234567890")}
	errs := make(chan error, hotUsers)
	for i := range hotUsers {
		go func() {
			_, _, err := oneUser(db, fmt.Sprintf("u%d", i), h.seed)
			errs <- err
		}()
	}
	for range hotUsers {
		if err := <-errs; err != nil {
			b.Fatal(err)
		}
	}
	m, err := oneMachine(db)
	if err != nil {
		b.Fatal(err)
	}
	k := db.Keys()
	h.authority = authn.New(db, authn.Keys{Deployment: k.Deployment, Signer: k.Signer, State: k.State}, now).ForMachine(m)
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

// BenchmarkLoginRows is what a login writes, by 32 at a time, without anybody
// who asks for it.
func BenchmarkLoginRows(b *testing.B) {
	db, err := store.Open(context.Background(), store.Config{Dir: b.TempDir() + "/data", Now: time.Now})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	w := newWrites(db)
	if err := w.prepare(); err != nil {
		b.Fatal(err)
	}
	used := ownCPU()
	b.ResetTimer()
	var all sync.WaitGroup
	var left atomic.Int64
	left.Store(int64(b.N))
	for caller := range machines {
		all.Go(func() {
			for n := 0; left.Add(-1) >= 0; n++ {
				if err := w.login(caller, n); err != nil {
					b.Error(err)
				}
			}
		})
	}
	all.Wait()
	b.ReportMetric(float64((ownCPU()-used).Microseconds())/float64(b.N), "cpu-µs/op")
}
