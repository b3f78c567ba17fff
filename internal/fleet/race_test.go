package fleet_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"testing"

	"latchkey"
	"latchkey/internal/api"
	"latchkey/internal/bundle"
	"latchkey/internal/fleet"
)

// A between is the store with somebody who acts once, after a header was
// planned and before it is made current, or after a report was judged and before
// it is merged.
type between struct {
	fleet.Store
	act func()
}

func (b *between) Issue(ctx context.Context, i fleet.Issue) (uint64, error) {
	if act := b.act; act != nil {
		b.act = nil
		act()
	}
	return b.Store.Issue(ctx, i)
}

func (b *between) Merge(ctx context.Context, m fleet.Merger) (uint64, error) {
	if act := b.act; act != nil && len(m.Events) > 0 {
		b.act = nil
		act()
	}
	return b.Store.Merge(ctx, m)
}

// meanwhile lets act happen between the next plan and its issue, or the next
// report and its merge.
func (w *world) meanwhile(act func() error) {
	k, pin := w.db.Keys(), sha256.Sum256([]byte("ca"))
	w.fleet = fleet.New(&between{Store: w.db, act: func() { w.must(act()) }},
		fleet.Keys{Deployment: k.Deployment, Epoch: k.Epoch, Signer: k.Signer},
		fleet.Door{URLs: []string{"https://127.0.0.1:8444"}, Pin: pin[:]}, w.now, rand.Reader)
}

// Neither codes nor a lease go to a machine that is removed while they are
// issued: its lease would keep them from every other until it runs out.
func TestB09NothingIsIssuedToAMachineThatIsRemovedMeanwhile(t *testing.T) {
	t.Parallel()
	for _, kind := range []latchkey.Kind{latchkey.TOTP, latchkey.HOTP} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			ana := w.user("ana", kind)
			code := counter(0)
			if kind == latchkey.TOTP {
				code = w.code(0)
			}
			m := w.machine("pc-1")
			w.expect(m.login("ana", code), "allow verified_online")
			w.meanwhile(func() error {
				return w.db.RemoveMachine(w.ctx, m.id, latchkey.Event{Kind: latchkey.MachineRemovedEvent})
			})
			if out, err := w.fleet.Bundle(w.ctx, m.id, api.BundleRequest{User: ana}); latchkey.CodeOf(err) != latchkey.NotFound {
				t.Errorf("it holds %d chunks, %v", len(out.Chunks), err)
			}
			if n := w.kinds(latchkey.BundleIssued); n != 0 {
				t.Errorf("%d bundles issued", n)
			}
			list, err := w.db.AuthenticatorsOf(w.ctx, ana)
			w.must(err)
			if lease := list[0].Lease; lease != nil && lease.Until.After(w.now()) {
				t.Errorf("the lease is with %+v", lease)
			}
		})
	}
}

// What a machine fetches of a user who is disabled in the meantime says so, and
// holds no codes.
func TestNoCodesAreIssuedOfAUserWhoIsDisabledMeanwhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ana := w.user("ana", latchkey.TOTP)
	m := w.machine("pc-1")
	w.expect(m.login("ana", w.code(0)), "allow verified_online")
	w.meanwhile(func() error {
		return w.db.SetDisabled(w.ctx, ana, true, latchkey.Event{Kind: latchkey.UserDisabled})
	})
	if h := m.fetch(ana); h.Status != bundle.Disabled || len(h.Credentials) != 0 {
		t.Errorf("the header says %+v", h)
	}
	if n := w.kinds(latchkey.BundleIssued); n != 0 {
		t.Errorf("%d bundles issued", n)
	}
}

// The same code at one instant: offline, in a report that is being judged, and
// online. Whoever comes second is noticed.
func TestB07ACodeThatIsUsedOnlineWhileItIsReportedIsAnIncident(t *testing.T) {
	t.Parallel()
	for name, quarantined := range map[string]bool{"by a machine that is believed": false, "by one that is not": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, ana, a, b, token := two(t)
			if quarantined {
				a.generation = 10
				a.sync()
				a.generation = 3
			}
			a.offline(ana, token, 4)
			w.meanwhile(func() error {
				w.expect(b.login("ana", counter(4)), "allow verified_online")
				return nil
			})
			a.sync()
			if got := w.told(twice); len(got) != 1 || got[0].Detail["machines"] != "pc-b pc-a" {
				t.Errorf("incidents %+v", got)
			}
		})
	}
}
