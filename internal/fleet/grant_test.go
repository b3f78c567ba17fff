package fleet_test

import (
	"testing"
	"time"

	"latchkey"
	"latchkey/internal/api"
	"latchkey/internal/bundle"
)

// A captive is a machine in quarantine that holds codes of ana's app and token.
type captive struct {
	*machine
	other *machine
	u     latchkey.UserID
	totp  latchkey.AuthenticatorID
	hotp  latchkey.AuthenticatorID
	held  bundle.Header
}

func newCaptive(t *testing.T) *captive {
	w := newWorld(t)
	c := &captive{u: w.user("ana", latchkey.TOTP, latchkey.HOTP), machine: w.machine("pc-1")}
	c.other = w.machine("pc-2")
	c.generation = 10
	w.expect(c.login("ana", "totp", w.code(0)), "allow verified_online")
	c.sync()
	c.held = c.fetch(c.u)
	for _, a := range c.held.Credentials {
		if a.Kind == latchkey.TOTP {
			c.totp = a.ID
		} else {
			c.hotp = a.ID
		}
	}
	c.sync(api.Known{User: c.u, Version: c.held.Version})
	c.generation = 1
	if out := c.sync(); out.State != "quarantined" || len(out.Users) != 0 {
		t.Fatalf("%s, told of %v", out.State, out.Users)
	}
	return c
}

func (c *captive) disabled(yes bool) {
	c.must(c.db.SetDisabled(c.ctx, c.u, yes, latchkey.Event{Kind: latchkey.UserDisabled}))
}

// refused: nothing is issued to the machine, not even to one that asks.
func (c *captive) refused(when string) {
	c.Helper()
	if out := c.sync(); len(out.Users) != 0 {
		c.Errorf("%s: told of %v", when, out.Users)
	}
	if _, err := c.fleet.Bundle(c.ctx, c.id, api.BundleRequest{User: c.u}); latchkey.CodeOf(err) != latchkey.NotFound {
		c.Errorf("%s: a bundle is issued: %v", when, err)
	}
}

// L06 and G-7: revocation bites at any authenticated contact, and a machine in
// quarantine is the last that may let in who was put out.
func TestL06WhatIsTakenAwayReachesAMachineInQuarantine(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		take   func(c *captive)
		status string
	}{
		"the user is disabled": {func(c *captive) { c.disabled(true) }, bundle.Disabled},
		"the user is deleted": {func(c *captive) {
			c.must(c.db.DeleteUser(c.ctx, c.u, latchkey.Event{Kind: latchkey.UserDeleted}))
		}, bundle.Tombstoned},
		"L03 the user is disenrolled": {func(c *captive) { c.must(c.enroll.Disenroll(c.ctx, "admin", "ana", "pc-1")) }, bundle.Tombstoned},
		"an authenticator is removed": {func(c *captive) { c.must(c.enroll.RemoveAuthenticator(c.ctx, "admin", "ana", c.totp)) }, bundle.Active},
		"B09 the lease is moved": {func(c *captive) {
			c.pass(time.Minute)
			c.expect(c.other.login("ana", "totp", c.code(0)), "allow verified_online")
			c.must(second(c.enroll.MoveLease(c.ctx, "admin", c.hotp, "pc-2")))
		}, bundle.Active},
		"H12 a factor is taken off the offline list": {func(c *captive) {
			c.policy(func(p *latchkey.Policy) { p.Factors.Offline = []latchkey.Kind{latchkey.HOTP} })
		}, bundle.Active},
		"offline logins are switched off": {func(c *captive) { c.policy(func(p *latchkey.Policy) { p.Offline.Enabled = false }) }, bundle.Active},
		"fewer logins":                    {func(c *captive) { c.policy(func(p *latchkey.Policy) { *p.Offline.Logins = 2 }) }, bundle.Active},
		"nothing is let in any more by a policy that waives": {func(c *captive) {
			c.policy(func(p *latchkey.Policy) { p.Unreachable, p.NotEnrolled = latchkey.Skip, latchkey.Skip })
		}, bundle.Active},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCaptive(t)
			tc.take(c)
			v := version(c.sync(), c.u)
			h := c.fetch(c.u)
			if v <= c.held.Version || h.Version != v || h.Status != tc.status {
				t.Fatalf("told of %d after %d: %+v", v, c.held.Version, h)
			}
			lets := h.Policy != nil && (h.Policy.Offline.Enabled || h.Policy.Unreachable == latchkey.Skip || h.Policy.NotEnrolled == latchkey.Skip)
			if h.Enrolled || h.Anchor != 0 || h.Until != 0 || len(h.Credentials) != 0 || lets || h.Policy == nil && h.Status == bundle.Active {
				t.Errorf("it gives: %+v", h)
			}
			if again := version(c.sync(api.Known{User: c.u, Version: v, Wiped: h.Status == bundle.Tombstoned}), c.u); again != v {
				t.Errorf("told of %d after %d", again, v)
			}
			if n := c.kinds(latchkey.BundleIssued); n != 1 {
				t.Errorf("%d bundles are recorded as issued", n)
			}
		})
	}
}

func TestAMachineInQuarantineIsGivenNothing(t *testing.T) {
	t.Parallel()
	for name, give := range map[string]func(c *captive){
		"time goes by":    func(c *captive) { c.pass(2 * day) },
		"an online login": func(c *captive) { c.pass(day); c.expect(c.login("ana", "totp", c.code(0)), "allow verified_online") },
		"a code of the token is used": func(c *captive) {
			c.expect(c.login("ana", "hotp", counter(0)), "allow verified_online")
		},
		"another authenticator": func(c *captive) {
			_, err := c.enroll.AddAuthenticator(c.ctx, "admin", "ana", api.AddAuthenticator{Kind: latchkey.TOTP})
			c.must(err)
		},
		"another user": func(c *captive) {
			c.user("ben", latchkey.TOTP)
			c.pass(day)
			c.expect(c.login("ben", c.code(0)), "allow verified_online")
		},
		"the token's days end": func(c *captive) { c.pass(40 * day) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCaptive(t)
			give(c)
			c.refused(name)
		})
	}
}

// What was taken away comes back with the approval, and not before.
func TestWhatWasTakenInQuarantineComesBackWithTheApproval(t *testing.T) {
	t.Parallel()
	c := newCaptive(t)
	c.disabled(true)
	v := version(c.sync(), c.u)
	c.disabled(false)
	c.refused("enabled again")
	c.must(c.fleet.Approve(c.ctx, "admin", string(c.id)))
	if got := version(c.sync(), c.u); got <= v {
		t.Errorf("told of %d after %d", got, v)
	}
	if h := c.fetch(c.u); !h.Enrolled || len(h.Credentials) != 2 {
		t.Errorf("header %+v", h)
	}
}

// A wipe that a machine in quarantine reports is not believed: it hears of it
// again once it is, and the list of who is to be wiped becomes true.
func TestL03AWipeInQuarantineIsToldAgainAfterTheApproval(t *testing.T) {
	t.Parallel()
	c := newCaptive(t)
	c.must(c.enroll.Disenroll(c.ctx, "admin", "ana", "pc-1"))
	v := version(c.sync(), c.u)
	c.sync(api.Known{User: c.u, Version: v, Wiped: true})
	c.must(c.fleet.Approve(c.ctx, "admin", string(c.id)))
	if got := version(c.sync(), c.u); got <= v {
		t.Errorf("told of %d after %d", got, v)
	}
}

// Where the machine has not confirmed what is current it may hold an older
// header, with what was taken from the user before the quarantine.
func TestAMachineInQuarantineThatMissedTheLastHeaderIsTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.user("ana", latchkey.TOTP)
	m := w.machine("pc-1")
	m.generation = 10
	w.expect(m.login("ana", w.code(0)), "allow verified_online")
	m.sync()
	old := m.fetch(u).Version
	m.sync(api.Known{User: u, Version: old})
	w.policy(func(p *latchkey.Policy) { p.Offline.Enabled = false })
	m.sync(api.Known{User: u, Version: old}) // it is told, and does not fetch it
	m.generation = 1
	if v := version(m.sync(api.Known{User: u, Version: old}), u); v <= old {
		t.Errorf("told of %d after %d", v, old)
	}
}

func TestNothingIsIssuedToAMachineThatIsQuarantinedMeanwhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.user("ana", latchkey.TOTP)
	m := w.machine("pc-1")
	m.generation = 10
	w.expect(m.login("ana", w.code(0)), "allow verified_online")
	m.sync()
	w.pass(day)
	w.expect(m.login("ana", w.code(0)), "allow verified_online")
	w.meanwhile(func() error {
		_, err := w.fleet.Sync(w.ctx, m.id, api.SyncRequest{Nonce: "n", Generation: 1})
		return err
	})
	if out, err := w.fleet.Bundle(w.ctx, m.id, api.BundleRequest{User: u}); latchkey.CodeOf(err) != latchkey.NotFound {
		t.Errorf("%d chunks were issued, %v", len(out.Chunks), err)
	}
}
