package fleet_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"latchkey"
	"latchkey/internal/api"
	"latchkey/internal/bundle"
	"latchkey/internal/otp"
)

const day = 24 * time.Hour

func TestATokenIsGoodForItsUsesAndItsTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := w.token(1)
	first, _, err := w.join("pc-1", one)
	w.must(err)
	if _, _, err := w.join("pc-2", one); latchkey.CodeOf(err) != latchkey.Exhausted { // L02
		t.Errorf("used twice: %v", err)
	}
	if again, err := first.again("PC-1", one); err != nil || again.Machine != first.id {
		t.Errorf("the same machine again: %v", err)
	}
	if _, err := first.again("other", one); latchkey.CodeOf(err) != latchkey.Conflict {
		t.Errorf("the same key under another name: %v", err)
	}
	late := w.token(5)
	w.pass(day)
	if _, _, err := w.join("pc-3", late); latchkey.CodeOf(err) != latchkey.Expired {
		t.Errorf("after its time: %v", err)
	}
	if _, _, err := w.join("pc-3", "made up"); latchkey.CodeOf(err) != latchkey.Unauthorized {
		t.Errorf("made up: %v", err)
	}
	for name, in := range map[string]api.CreateToken{"no uses": {Uses: -1}, "past": {TTLSeconds: -1}, "31 days": {TTLSeconds: 31 * 86400}, "too many": {Uses: 1 << 30}} {
		if _, err := w.fleet.CreateToken(w.ctx, "admin", in); latchkey.CodeOf(err) != latchkey.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestATokenRaceHasOneWinner(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	token := w.token(3)
	ok := make(chan bool, 20)
	for i := range 20 {
		go func() {
			_, _, err := w.join("pc-"+string(rune('a'+i)), token)
			ok <- err == nil
		}()
	}
	n := 0
	for range 20 {
		if <-ok {
			n++
		}
	}
	if n != 3 {
		t.Errorf("%d machines joined with 3 uses", n)
	}
}

func TestL10ANameThatIsTakenWaitsForApproval(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.user("ana", latchkey.TOTP)
	first := w.machine("pc-1")
	w.expect(first.login("ana", w.code(0)), "allow verified_online")
	second, out, err := w.join("PC-1", w.token(1))
	w.must(err)
	if !out.Pending {
		t.Fatal("does not wait")
	}
	w.expect(second.login("ana"), "the machine waits for approval")
	if got := second.sync(); got.State != "pending" || len(got.Users) != 0 {
		t.Errorf("%s, %v", got.State, got.Users)
	}
	w.must(w.fleet.Approve(w.ctx, "admin", "pc-1"))
	w.expect(first.login("ana"), "deny machine_removed")
	if got := first.sync(api.Known{User: u}); got.State != "removed" || !first.settings.Removed || len(got.Users) != 0 {
		t.Errorf("the old one is told %s, %v", got.State, got.Users)
	}
	w.expect(second.login("ana", w.code(1)), "allow verified_online")
	if err := w.fleet.Approve(w.ctx, "admin", "pc-1"); latchkey.CodeOf(err) != latchkey.Conflict {
		t.Errorf("approved twice: %v", err)
	}
}

func (w *world) expect(got, want string) {
	w.Helper()
	if got != want {
		w.Errorf("got %q, want %q", got, want)
	}
}

func TestABundleHoldsTheCodesUpToTheLastDay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.user("ana", latchkey.TOTP)
	m := w.machine("pc-1")
	if got := m.sync(); len(got.Users) != 0 {
		t.Errorf("before the first login: %+v", got.Users)
	}
	w.expect(m.login("ana", w.code(0)), "allow verified_online")
	anchor := w.now()
	out := m.sync()
	if len(out.Users) != 1 || version(out, u) == 0 {
		t.Fatalf("news %+v", out.Users)
	}
	h := m.fetch(u)
	if !h.Enrolled || h.Version != version(out, u) || h.Anchor != anchor.UnixMilli() || h.Until != anchor.Add(7*day).UnixMilli() || len(h.Credentials) != 1 {
		t.Fatalf("header %+v", h)
	}
	book := m.book(h.Credentials[0])
	last, _ := book.Last()
	if want := otp.Step(anchor.Add(7*day), 30) - 1; last != want {
		t.Errorf("the last step is %d, not %d", last, want)
	}
	for _, step := range []uint64{otp.Step(anchor, 30), last} {
		want, err := otp.Code(key20, step, otp.SHA1, 6)
		w.must(err)
		if got, ok := book.At(step); !ok || got != want {
			t.Errorf("step %d: %d, %v", step, got, ok)
		}
	}
	// Asking again, also days later, renews nothing.
	for range 3 {
		w.pass(3 * day)
		out = m.sync()
		again := m.fetch(u)
		if again.Until != h.Until || asText(again.Credentials) != asText(h.Credentials) {
			t.Errorf("%s later: %+v", w.now().Sub(anchor), again)
		}
	}
	w.expect(m.login("ana", w.code(0)), "allow verified_online") // C03
	if again := m.fetch(u); again.Anchor != w.now().UnixMilli() || again.Version <= version(out, u) {
		t.Errorf("after the next login: %+v", again)
	}
}

func asText(cs []bundle.Credential) string {
	var out []string
	for _, c := range cs {
		for _, ch := range c.Chunks {
			out = append(out, string(c.ID), ch.SHA256)
		}
	}
	return strings.Join(out, " ")
}

func TestAHeaderKeepsItsVersionUntilSomethingDiffers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.user("ana", latchkey.TOTP)
	m, other := w.machine("pc-1"), w.machine("pc-2")
	w.expect(m.login("ana", w.code(0)), "allow verified_online")
	v := version(m.sync(), u)
	same := func(what string) {
		t.Helper()
		w.pass(time.Second)
		if got := version(m.sync(), u); got != v {
			t.Errorf("%s: version %d after %d", what, got, v)
		}
	}
	higher := func(what string) {
		t.Helper()
		w.pass(time.Second)
		got := version(m.sync(), u)
		if got <= v {
			t.Errorf("%s: version %d after %d", what, got, v)
		}
		if h := m.fetch(u); h.Version != got {
			t.Errorf("%s: fetched %d instead of %d", what, h.Version, got)
		}
		v = got
	}
	same("nothing happened")
	m.fetch(u)
	same("it was fetched")
	w.expect(other.login("nobody"), "deny unknown_identity")
	same("somebody else failed elsewhere")
	w.expect(other.login("ana", w.code(1)), "allow verified_online")
	higher("a code was used elsewhere")
	w.policy(func(p *latchkey.Policy) { p.Offline.Logins = nil })
	higher("the policy changed")
	w.must(w.db.SetDisabled(w.ctx, u, true, latchkey.Event{Kind: latchkey.UserDisabled}))
	higher("he was disabled")
	if h := m.fetch(u); h.Status != bundle.Disabled || len(h.Credentials) != 0 || h.Policy != nil {
		t.Errorf("disabled: %+v", h)
	}
	w.must(w.db.SetDisabled(w.ctx, u, false, latchkey.Event{Kind: latchkey.UserEnabled}))
	higher("he was enabled")
	w.pass(day)
	higher("a day passed")
	same("and then nothing")
}

func TestADenyThatStaysEndsWithAHigherVersion(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.user("ana", latchkey.TOTP)
	m := w.machine("pc-1")
	w.expect(m.login("ana", w.code(0)), "allow verified_online")
	v := version(m.sync(), u)
	w.must(w.db.SetDisabled(w.ctx, u, true, latchkey.Event{Kind: latchkey.UserDisabled}))
	w.pass(time.Second)
	w.expect(m.login("ana"), "deny account_disabled") // the machine remembers this verdict
	verdict := uint64(w.now().UnixMilli())
	w.must(w.db.SetDisabled(w.ctx, u, false, latchkey.Event{Kind: latchkey.UserEnabled}))
	// Nothing in the header differs from before, but the machine must hear it.
	if got := version(m.sync(), u); got <= v || got <= verdict {
		t.Errorf("version %d after header %d and verdict %d", got, v, verdict)
	}
}

func TestWhoGetsNoCodes(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change func(*latchkey.Policy)
		policy bool
	}{
		"offline is off":             {func(p *latchkey.Policy) { p.Offline.Enabled = false }, true},
		"the keys are too weak":      {func(p *latchkey.Policy) { p.MinKeyClass = latchkey.TPM }, true},
		"the user is protected":      {func(p *latchkey.Policy) { p.Protected = true }, true},
		"the kind is not listed":     {func(p *latchkey.Policy) { p.Factors.Offline = []latchkey.Kind{latchkey.HOTP} }, true},
		"enrolling is asked for":     {func(p *latchkey.Policy) { p.Offline.Enroll = "ask" }, true},
		"the policy is for somebody": {func(p *latchkey.Policy) { p.Users = latchkey.Subjects{Names: []string{"bob"}} }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			u := w.user("ana", latchkey.TOTP)
			w.policy(tc.change)
			m := w.machine("pc-1")
			if got := m.login("ana", w.code(0)); !strings.HasPrefix(got, "allow") && got != "not-required not_covered" {
				t.Fatal(got)
			}
			if version(m.sync(), u) == 0 {
				t.Fatal("he has no status there")
			}
			h := m.fetch(u)
			if h.Status != bundle.Active || h.Enrolled || len(h.Credentials) != 0 || (h.Policy != nil) != tc.policy {
				t.Errorf("header %+v", h)
			}
		})
	}
}

func TestAMachineOfOneOwnerEnrollsHimOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.policy(func(p *latchkey.Policy) { p.Offline.EnrollOn = "own" })
	ana, bob := w.user("ana", latchkey.TOTP), w.user("bob", latchkey.TOTP)
	m := w.machine("pc-1")
	w.expect(m.login("ana", w.code(0)), "allow verified_online")
	w.expect(m.login("bob", w.code(0)), "allow verified_online")
	m.sync()
	if !m.fetch(ana).Enrolled || m.fetch(bob).Enrolled {
		t.Error("the wrong one is enrolled")
	}
}

func TestL03L04ADisenrolledUserIsWipedBeforeHeMayEnrollAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.user("ana", latchkey.TOTP)
	m := w.machine("pc-1")
	w.expect(m.login("ana", w.code(0)), "allow verified_online")
	m.sync()
	held := m.fetch(u)
	w.must(w.enroll.Disenroll(w.ctx, "admin", "ana", "pc-1"))
	if err := w.enroll.Disenroll(w.ctx, "admin", "ana", "pc-1"); latchkey.CodeOf(err) != latchkey.NotFound {
		t.Errorf("twice: %v", err)
	}
	w.expect(m.login("ana", w.code(1)), "allow verified_online")
	h := m.fetch(u)
	if h.Status != bundle.Tombstoned || h.Enrolled || len(h.Credentials) != 0 || h.Version <= held.Version {
		t.Errorf("after disenrolling: %+v", h)
	}
	m.generation++
	m.sync(api.Known{User: u, Version: held.Version})
	if h := m.fetch(u); h.Status != bundle.Tombstoned {
		t.Errorf("before it is wiped: %+v", h)
	}
	m.sync(api.Known{User: u, Version: h.Version, Wiped: true})
	if h := m.fetch(u); h.Status != bundle.Active || h.Enrolled {
		t.Errorf("after it is wiped: %+v", h)
	}
	w.pass(time.Minute)
	w.expect(m.login("ana", w.code(0)), "allow verified_online")
	if h := m.fetch(u); !h.Enrolled {
		t.Errorf("after the next login: %+v", h)
	}
}

func TestL06ADeletedUserIsWipedAndForgotten(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.user("ana", latchkey.TOTP)
	m := w.machine("pc-1")
	w.expect(m.login("ana", w.code(0)), "allow verified_online")
	m.sync()
	m.fetch(u)
	w.must(w.db.DeleteUser(w.ctx, u, latchkey.Event{Kind: latchkey.UserDeleted}))
	v := version(m.sync(), u)
	if h := m.fetch(u); h.Status != bundle.Tombstoned || h.Version != v {
		t.Errorf("header %+v", h)
	}
	if got := m.sync(api.Known{User: u, Version: v, Wiped: true}); len(got.Users) != 0 {
		t.Errorf("still told of: %+v", got.Users)
	}
}

func TestB08HOTPCodesGoToOneMachineAtATime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.user("ana", latchkey.HOTP)
	a, b := w.machine("pc-a"), w.machine("pc-b")
	w.expect(a.login("ana", counter(0)), "allow verified_online")
	a.sync()
	h := a.fetch(u)
	if from, past := span(h); len(h.Credentials) != 1 || from != 1 || past != 31 || h.Credentials[0].Chunks[0].From != 0 {
		t.Fatalf("header %+v", h)
	}
	w.expect(b.login("ana", counter(1)), "allow verified_online")
	b.sync()
	if h := b.fetch(u); h.Enrolled || len(h.Credentials) != 0 {
		t.Errorf("B holds codes too: %+v", h)
	}
	w.must(w.enroll.Disenroll(w.ctx, "admin", "ana", "pc-a"))
	a.sync()
	if b.fetch(u).Enrolled {
		t.Error("B holds codes that A has not wiped")
	}
	v := a.fetch(u).Version
	a.sync(api.Known{User: u, Version: v, Wiped: true})
	if h := b.fetch(u); !h.Enrolled || h.Credentials[0].Next != 2 {
		t.Errorf("B may hold them now: %+v", h)
	}
}

func TestHOTPCodesDoNotGrowPastTheLastDay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.user("ana", latchkey.HOTP)
	a, b := w.machine("pc-a"), w.machine("pc-b")
	w.expect(a.login("ana", counter(0)), "allow verified_online")
	held := a.fetch(u)
	_, end := span(held)
	w.pass(7 * day)
	w.expect(b.login("ana", counter(1)), "allow verified_online")
	w.expect(b.login("ana", counter(2)), "allow verified_online")
	a.sync()
	for _, c := range a.fetch(u).Credentials {
		for _, ch := range c.Chunks {
			if ch.From+uint64(ch.Count) > end {
				t.Errorf("codes up to %d, after %d", ch.From+uint64(ch.Count), end)
			}
		}
	}
	b.sync()
	if h := b.fetch(u); !h.Enrolled {
		t.Error("the lease did not end with A's days")
	}
}

func TestB07ACodeUsedOfflineIsUsedUpOnceReported(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.user("ana", latchkey.TOTP)
	m := w.machine("pc-1")
	w.expect(m.login("ana", w.code(0)), "allow verified_online")
	m.sync()
	c := m.fetch(u).Credentials[0].ID
	w.pass(time.Minute)
	m.offline(u, c, otp.Step(w.now(), 30))
	if got := m.sync(); got.Acked != 1 || got.State != "active" {
		t.Fatalf("acked %d, %s", got.Acked, got.State)
	}
	w.expect(m.login("ana", w.code(0)), "deny code_already_used")
	w.expect(m.login("ana", w.code(1)), "allow verified_online")
	// Delivered again, also with other words: nothing happens twice.
	m.queue[0].User = "usr_other"
	if got := m.sync(); got.Acked != 1 || len(w.incidents()) != 0 {
		t.Errorf("acked %d, incidents %v", got.Acked, w.incidents())
	}
}

func TestOneCodeUnderTwoLogonsIsAnIncidentAndUnderOneIsNot(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.user("ana", latchkey.TOTP)
	m, other := w.machine("pc-1"), w.machine("pc-2")
	w.expect(m.login("ana", w.code(0)), "allow verified_online")
	m.sync()
	c := m.fetch(u).Credentials[0].ID
	w.pass(time.Minute)
	var id string
	w.expect(m.loginAs("ana", &id, w.code(0)), "allow verified_online")
	// The reply got lost: the machine let him in under the same logon.
	m.report(api.Report{Logon: id, User: u, Outcome: latchkey.Allowed, Reason: latchkey.VerifiedOffline, Credential: c, Used: otp.Step(w.now(), 30)})
	m.sync()
	if got := w.incidents(); len(got) != 0 {
		t.Errorf("incidents %v", got)
	}
	w.pass(time.Minute)
	w.expect(other.login("ana", w.code(0)), "allow verified_online")
	m.offline(u, c, otp.Step(w.now(), 30))
	if got := m.sync(); got.State != "active" {
		t.Errorf("the machine is %s", got.State)
	}
	if got := w.incidents(); !slices.Equal(got, []string{"one code was used for two logins"}) {
		t.Errorf("incidents %v", got)
	}
}

func TestAMachineThatReportsTheImpossibleIsIssuedNothing(t *testing.T) {
	t.Parallel()
	type lie func(m *machine, u latchkey.UserID, totp, hotp latchkey.AuthenticatorID) []api.Known
	for name, tell := range map[string]lie{
		"a step of the future": func(m *machine, u latchkey.UserID, totp, _ latchkey.AuthenticatorID) []api.Known {
			m.offline(u, totp, otp.Step(m.now(), 30)+20)
			return nil
		},
		"a step past the last day": func(m *machine, u latchkey.UserID, totp, _ latchkey.AuthenticatorID) []api.Known {
			m.pass(100 * day)
			m.offline(u, totp, otp.Step(m.now(), 30))
			return nil
		},
		"a counter that was not handed out": func(m *machine, u latchkey.UserID, _, hotp latchkey.AuthenticatorID) []api.Known {
			m.offline(u, hotp, 30)
			return nil
		},
		"an authenticator of nobody": func(m *machine, u latchkey.UserID, _, _ latchkey.AuthenticatorID) []api.Known {
			m.offline(u, "aut_none", 1)
			return nil
		},
		"a floor of the future": func(m *machine, u latchkey.UserID, totp, _ latchkey.AuthenticatorID) []api.Known {
			return []api.Known{{User: u, Floors: []latchkey.Floor{{Credential: totp, Next: otp.Step(m.now(), 30) + 20}}}}
		},
		"a floor of a counter that was not handed out": func(m *machine, u latchkey.UserID, _, hotp latchkey.AuthenticatorID) []api.Known {
			return []api.Known{{User: u, Floors: []latchkey.Floor{{Credential: hotp, Next: 1 << 62}}}}
		},
		"E08 another history": func(m *machine, u latchkey.UserID, _, _ latchkey.AuthenticatorID) []api.Known {
			m.report(api.Report{User: u, Outcome: latchkey.Denied, Reason: latchkey.WrongCode})
			m.sync()
			m.queue[0].At++ // what a copy of the machine wrote in the same place
			m.report(api.Report{User: u, Outcome: latchkey.Denied, Reason: latchkey.WrongCode})
			return nil
		},
		"E08 a ledger that went back": func(m *machine, _ latchkey.UserID, _, _ latchkey.AuthenticatorID) []api.Known {
			m.generation = 3
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			u := w.user("ana", latchkey.TOTP, latchkey.HOTP)
			m := w.machine("pc-1")
			m.generation = 10
			w.expect(m.login("ana", "totp", w.code(0)), "allow verified_online")
			m.sync()
			var totp, hotp latchkey.AuthenticatorID
			for _, c := range m.fetch(u).Credentials {
				if c.Kind == latchkey.TOTP {
					totp = c.ID
				} else {
					hotp = c.ID
				}
			}
			w.pass(time.Minute)
			known := tell(m, u, totp, hotp)
			out := m.sync(known...)
			if out.State != "quarantined" || len(out.Users) != 0 || len(w.incidents()) == 0 {
				t.Fatalf("the machine is %s, told of %v, incidents %v", out.State, out.Users, w.incidents())
			}
			if _, err := m.fleet.Bundle(w.ctx, m.id, api.BundleRequest{User: u}); latchkey.CodeOf(err) != latchkey.NotFound {
				t.Errorf("bundle: %v", err)
			}
			if m.settings.Settings.Mode != latchkey.Default {
				t.Errorf("settings %+v", m.settings)
			}
			// What the server checks itself goes on, and no counter was moved.
			w.expect(m.login("ana", "hotp", counter(0)), "allow verified_online")
			w.expect(m.login("ana", "totp", w.code(0)), "allow verified_online")
			m.queue = nil
			w.must(w.fleet.Approve(w.ctx, "admin", "pc-1"))
			if out := m.sync(); out.State != "active" || version(out, u) == 0 {
				t.Errorf("after approval: %s, %v", out.State, out.Users)
			}
		})
	}
}

func TestAQuarantinedMachineChangesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.user("ana", latchkey.TOTP)
	m := w.machine("pc-1")
	m.generation = 10
	w.expect(m.login("ana", w.code(0)), "allow verified_online")
	m.sync()
	h := m.fetch(u)
	m.generation = 1
	m.sync()
	w.pass(time.Minute)
	m.offline(u, h.Credentials[0].ID, otp.Step(w.now(), 30))
	for range 10 {
		m.report(api.Report{User: u, Outcome: latchkey.Denied, Reason: latchkey.WrongCode})
	}
	m.generation = 100
	floors := []latchkey.Floor{{Credential: h.Credentials[0].ID, Next: otp.Step(w.now(), 30) + 2}}
	if out := m.sync(api.Known{User: u, Version: h.Version, Uses: 99, Anchor: h.Anchor, Floors: floors}); out.State != "quarantined" || out.Acked != 11 {
		t.Errorf("%s, acked %d", out.State, out.Acked)
	}
	if n := len(w.logons()); n != 12 { // heard, and kept for whoever looks into it
		t.Errorf("%d logons in the trail", n)
	}
	w.expect(m.login("ana", w.code(0)), "allow verified_online")
	rows, err := w.db.EnrollmentRows(w.ctx, "", "", latchkey.Page{})
	w.must(err)
	if len(rows) != 1 || rows[0].Enrollment.Uses != 0 || rows[0].Enrollment.Acked != 0 {
		t.Errorf("rows %+v", rows)
	}
}

func TestAClockThatIsALittleAheadIsNoLie(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.user("ana", latchkey.TOTP)
	m := w.machine("pc-1")
	w.expect(m.login("ana", w.code(-1)), "allow verified_online")
	m.sync()
	c := m.fetch(u).Credentials[0].ID
	m.offline(u, c, otp.Step(w.now(), 30)+5)
	if out := m.sync(); out.State != "active" || len(w.incidents()) != 0 {
		t.Errorf("%s, %v", out.State, w.incidents())
	}
	// The floor goes no further than what the server itself would take now.
	w.expect(m.login("ana", w.code(1)), "deny code_already_used")
	w.pass(time.Minute)
	w.expect(m.login("ana", w.code(0)), "allow verified_online")
}

func TestADeletedUserWhoWasOnlySeenIsWipedToo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.user("ana", latchkey.TOTP)
	w.policy(func(p *latchkey.Policy) { p.Offline.Enabled = false })
	m := w.machine("pc-1")
	w.expect(m.login("ana", w.code(0)), "allow verified_online")
	m.sync()
	if m.fetch(u).Enrolled {
		t.Fatal("enrolled")
	}
	w.pass(time.Second)
	w.must(w.db.DeleteUser(w.ctx, u, latchkey.Event{Kind: latchkey.UserDeleted}))
	v := version(m.sync(), u)
	if h := m.fetch(u); h.Status != bundle.Tombstoned || h.Version != v {
		t.Errorf("header %+v", h)
	}
	if got := m.sync(api.Known{User: u, Version: v, Wiped: true}); len(got.Users) != 0 {
		t.Errorf("still told of %v", got.Users)
	}
}

func TestReportsAreClampedAndGapsAreNoticed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.user("ana", latchkey.TOTP)
	m := w.machine("pc-1")
	w.expect(m.login("ana", w.code(0)), "allow verified_online")
	w.pass(time.Hour)
	m.report(api.Report{User: u, At: w.now().Add(day).UnixMilli(), Outcome: latchkey.Denied, Reason: latchkey.WrongCode})
	m.report(api.Report{User: u, At: 0, Outcome: "root", Reason: "because", Scenario: "nowhere"})
	m.report(api.Report{User: "usr_none", Outcome: latchkey.Denied, Reason: latchkey.WrongCode})
	m.report(api.Report{User: u, At: 1, Outcome: latchkey.Denied, Reason: latchkey.WrongCode})
	m.queue = slices.Delete(m.queue, 2, 3)
	if out := m.sync(); out.Acked != 4 || out.State != "active" {
		t.Errorf("acked %d, %s", out.Acked, out.State)
	}
	got := w.incidents()
	slices.Sort(got)
	if want := []string{"an event holds words that no agent writes", "events are missing from the machine's reports"}; !slices.Equal(got, want) {
		t.Errorf("incidents %q", got)
	}
	for _, e := range w.logons() {
		if e.Time.After(w.now()) || e.Time.Before(w.now().Add(-2*time.Hour)) {
			t.Errorf("an event at %s", e.Time)
		}
	}
}

func TestFailuresOfAMachineSlowOneUserThereOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ana := w.user("ana", latchkey.TOTP)
	w.user("bob", latchkey.TOTP)
	m, other := w.machine("pc-1"), w.machine("pc-2")
	w.expect(m.login("ana", w.code(0)), "allow verified_online")
	for range 1000 {
		m.report(api.Report{User: ana, Outcome: latchkey.Denied, Reason: latchkey.WrongCode})
	}
	m.sync()
	w.expect(m.login("ana", w.code(1)), "deny throttled")
	w.expect(m.login("bob", w.code(1)), "allow verified_online")
	w.expect(other.login("ana", w.code(1)), "allow verified_online")
	w.pass(time.Hour)
	w.expect(m.login("ana", w.code(0)), "allow verified_online")
}

func TestF10ARestoredDatabaseGoesOnAboveWhatMachinesHold(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w := worldIn(t, filepath.Join(dir, "data"), "")
	m := w.machine("pc-1")
	w.must(w.db.Close())
	w.must(os.CopyFS(filepath.Join(dir, "backup"), os.DirFS(filepath.Join(dir, "data"))))
	w.must(os.Chmod(filepath.Join(dir, "backup"), 0o700))
	w.must(os.Chmod(filepath.Join(dir, "backup", "master.key"), 0o600))
	w = worldIn(t, filepath.Join(dir, "data"), "")
	m.world = w
	w.pass(day)
	m.sync()
	high := m.settings.Version
	w.must(w.db.Close())
	w = worldIn(t, filepath.Join(dir, "backup"), "") // a day ago by its clock, too
	defer func() { w.must(w.db.Close()) }()
	m.world = w
	m.sync() // fails where the version is not above the last
	if m.settings.Version != high+1 {
		t.Errorf("version %d after %d", m.settings.Version, high)
	}
	m.proof = []byte(`{"payloadType":"","payload":"","signatures":[]}`)
	m.sync() // what proves nothing breaks nothing
}

// Whatever happens in whatever order: no machine ever holds a code beyond a
// login there plus the days of its class, or of the policy.
func TestNothingIsIssuedBeyondTheAnchor(t *testing.T) {
	t.Parallel()
	home, n := newWorld(t), 0
	rapid.Check(t, func(t *rapid.T) {
		w := &world{tester: t, ctx: home.ctx, db: home.db, authn: home.authn, fleet: home.fleet, enroll: home.enroll, key: home.key}
		w.clock = home.clock
		n++
		name := fmt.Sprintf("ana%d", n)
		u := w.user(name, latchkey.TOTP, latchkey.HOTP)
		w.policy(func(*latchkey.Policy) {})
		machines := []*machine{w.machine("pc-1" + name), w.machine("pc-2" + name)}
		anchors := map[*machine]time.Time{}
		counters := uint64(0)
		for range rapid.IntRange(1, 6).Draw(t, "steps") {
			m := rapid.SampledFrom(machines).Draw(t, "machine")
			switch rapid.IntRange(0, 5).Draw(t, "what") {
			case 0:
				w.pass(time.Duration(rapid.IntRange(1, 20*24).Draw(t, "hours")) * time.Hour)
			case 1:
				if m.login(name, "totp", w.code(0)) == "allow verified_online" {
					anchors[m] = w.now()
				}
			case 2:
				if m.login(name, "hotp", counter(counters)) == "allow verified_online" {
					anchors[m] = w.now()
					counters++
				}
			case 3:
				days := rapid.IntRange(1, 40).Draw(t, "days")
				w.policy(func(p *latchkey.Policy) { p.Offline.Days = &days })
			case 4:
				w.policy(func(p *latchkey.Policy) { p.Offline.Days = nil })
			case 5:
				m.sync()
			}
			bound(w, m, u, anchors[m])
		}
	})
}

func bound(w *world, m *machine, u latchkey.UserID, anchor time.Time) {
	w.Helper()
	out := m.sync()
	if version(out, u) == 0 {
		return
	}
	h := m.fetch(u)
	if anchor.IsZero() && len(h.Credentials) > 0 {
		w.Fatalf("codes without a login: %+v", h)
	}
	most := anchor.Add(14 * day) // of class S
	if days := h.Policy.Offline.Days; days != nil && *days < 14 {
		most = anchor.Add(time.Duration(*days) * day)
	}
	for _, c := range h.Credentials {
		last, _ := m.book(c).Last()
		if c.Kind == latchkey.TOTP && last >= otp.Step(most, 30) {
			w.Fatalf("a code of %s, the login was at %s", time.Unix(int64(last)*30, 0).UTC(), anchor)
		}
		if c.Kind == latchkey.HOTP && last >= c.Next+30 {
			w.Fatalf("counters %d to %d", c.Next, last)
		}
	}
	if h.Until > most.UnixMilli() {
		w.Fatalf("until %s", h.UntilTime())
	}
}
