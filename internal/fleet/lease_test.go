package fleet_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey"
	"latchkey/internal/api"
	"latchkey/internal/audit"
	"latchkey/internal/bundle"
	"latchkey/internal/fleet"
)

// two is a token's owner with machines A and B, and the lease on A.
func two(t *testing.T) (w *world, u latchkey.UserID, a, b *machine, token latchkey.AuthenticatorID) {
	w = newWorld(t)
	u = w.user("ana", latchkey.HOTP)
	a, b = w.machine("pc-a"), w.machine("pc-b")
	w.expect(a.login("ana", counter(0)), "allow verified_online")
	a.sync()
	token = a.fetch(u).Credentials[0].ID
	return w, u, a, b, token
}

// span is the counters that a header lets a machine accept: from, and past.
func span(h bundle.Header) (from, past uint64) {
	for _, c := range h.Credentials {
		for _, ch := range c.Chunks {
			return c.Next, ch.From + uint64(ch.Count)
		}
	}
	return 0, 0
}

func (w *world) kinds(k latchkey.EventKind) int {
	w.Helper()
	events, err := w.db.Events(w.ctx, audit.Query{Limit: 1000, Kind: string(k)})
	w.must(err)
	return len(events)
}

func TestB09TheLeaseMovesByAnAdministratorsWord(t *testing.T) {
	t.Parallel()
	w, u, a, b, token := two(t)
	w.expect(b.login("ana", counter(1)), "allow verified_online")
	if b.fetch(u).Enrolled {
		t.Fatal("B holds codes while A has the lease")
	}
	w.move(token, "pc-b")
	b.sync()
	if from, past := span(b.fetch(u)); from != 2 || past != 32 {
		t.Errorf("B holds %d to %d", from, past)
	}
	a.sync()
	if from, past := span(a.fetch(u)); past != 0 {
		t.Errorf("A holds %d to %d after its contact", from, past)
	}
	list, err := w.db.AuthenticatorsOf(w.ctx, u)
	w.must(err)
	if l := list[0].Lease; l == nil || l.Host != "pc-b" || !l.Until.Equal(w.now().Add(7*day)) {
		t.Errorf("the list says %+v", l)
	}
	if n := w.kinds(latchkey.LeaseMoved); n != 1 {
		t.Errorf("%d moves are recorded", n)
	}
}

func TestALeaseGoesToNoMachineThatGetsNothing(t *testing.T) {
	t.Parallel()
	w, u, a, _, token := two(t)
	waiting, _, err := w.join("pc-a", w.token(1))
	w.must(err)
	gone := w.machine("gone")
	w.must(w.db.RemoveMachine(w.ctx, gone.id, latchkey.Event{Kind: latchkey.MachineRemovedEvent}))
	bad := w.machine("bad")
	bad.offline(u, "aut_none", 1)
	w.expect(bad.login("ana", counter(1)), "allow verified_online")
	if got := bad.sync(); got.State != "quarantined" {
		t.Fatalf("bad is %s", got.State)
	}
	w.must(w.db.RemoveMachine(w.ctx, a.id, latchkey.Event{Kind: latchkey.MachineRemovedEvent}))
	for machine, want := range map[string]latchkey.Code{
		"nowhere": latchkey.NotFound, "gone": latchkey.NotFound, "bad": latchkey.Conflict, "pc-a": latchkey.Conflict,
	} {
		if _, err := w.enroll.MoveLease(w.ctx, "admin", token, machine); latchkey.CodeOf(err) != want {
			t.Errorf("to %s: %v", machine, err)
		}
	}
	if _, err := w.enroll.MoveLease(w.ctx, "admin", "aut_none", "bad"); latchkey.CodeOf(err) != latchkey.NotFound {
		t.Errorf("of nothing: %v", err)
	}
	if waiting.id == "" || w.kinds(latchkey.LeaseMoved) != 0 {
		t.Error("a refused move is recorded")
	}
}

// move moves the lease of a token.
func (w *world) move(token latchkey.AuthenticatorID, machine string) {
	w.Helper()
	_, err := w.enroll.MoveLease(w.ctx, "admin", token, machine)
	w.must(err)
}

// A machine that has the codes keeps them as long as it had them: moving them to
// where they are is no news, and nobody is told that they are good for longer.
func TestMovingALeaseToItsHolderChangesNothing(t *testing.T) {
	t.Parallel()
	w, u, a, _, token := two(t)
	w.pass(day)
	for _, machine := range []string{"pc-a", string(a.id)} {
		got, err := w.enroll.MoveLease(w.ctx, "admin", token, machine)
		want := api.MovedLease{ID: token, Machine: "pc-a", Until: w.now().Add(6 * day)}
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v", machine, got, err)
		}
	}
	if n := w.kinds(latchkey.LeaseMoved); n != 0 {
		t.Errorf("%d moves are recorded", n)
	}
	w.pass(6 * day) // it ended
	list, err := w.db.AuthenticatorsOf(w.ctx, u)
	w.must(err)
	if list[0].Lease != nil {
		t.Errorf("a lease that ended is shown: %+v", list[0].Lease)
	}
}

// Nobody loses his codes to a machine that would be handed none.
func TestALeaseMovesOnlyWhereItsUserGetsCodes(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		edit func(*latchkey.Policy)
		says string
	}{
		"offline is off":         {func(p *latchkey.Policy) { p.Offline.Enabled = false }, "allows no logins offline"},
		"he is protected":        {func(p *latchkey.Policy) { p.Protected = true }, "is protected"},
		"tokens are online only": {func(p *latchkey.Policy) { p.Factors.Offline = []latchkey.Kind{latchkey.TOTP} }, "lists no hotp"},
		"its keys are too weak":  {func(p *latchkey.Policy) { p.MinKeyClass = latchkey.TPM }, "keys of class T"},
		"no policy is for him":   {func(p *latchkey.Policy) { p.Users = latchkey.Subjects{Names: []string{"bob"}} }, "no policy"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, u, _, _, token := two(t)
			w.policy(tc.edit)
			_, err := w.enroll.MoveLease(w.ctx, "admin", token, "pc-b")
			if latchkey.CodeOf(err) != latchkey.Conflict || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%v", err)
			}
			list, err := w.db.AuthenticatorsOf(w.ctx, u)
			w.must(err)
			if l := list[0].Lease; l == nil || l.Host != "pc-a" {
				t.Errorf("the lease is with %+v", l)
			}
		})
	}
}

// A new laptop may be given the lease before its owner has logged in there.
func TestALeaseMovesToWhereItsUserIsAboutToLogIn(t *testing.T) {
	t.Parallel()
	w, u, a, b, token := two(t)
	out, err := w.enroll.MoveLease(w.ctx, "admin", token, "pc-b")
	if err != nil || !out.Moved || !out.WaitsForLogin {
		t.Errorf("%+v, %v", out, err)
	}
	if h := a.fetch(u); len(h.Credentials) != 0 {
		t.Errorf("pc-a is handed codes still: %+v", h.Credentials)
	}
	w.expect(b.login("ana", counter(1)), "allow verified_online")
	b.sync()
	if h := b.fetch(u); len(h.Credentials) != 1 {
		t.Errorf("pc-b is handed %+v", h.Credentials)
	}
}

// What was used offline is the last use, too.
func TestAReportMovesTheLastUse(t *testing.T) {
	t.Parallel()
	w, u, a, _, token := two(t)
	w.pass(time.Hour)
	used := w.now()
	a.offline(u, token, 3)
	w.pass(time.Hour)
	a.sync()
	list, err := w.db.AuthenticatorsOf(w.ctx, u)
	w.must(err)
	if got := list[0].LastUsed; !got.Equal(used) {
		t.Errorf("last used at %s, want %s", got, used)
	}
}

// A lease that is free is taken over by a login, not by a sync in the
// background: only a login shows where the token is.
func TestAFreeLeaseWaitsForALogin(t *testing.T) {
	t.Parallel()
	for name, free := range map[string]func(w *world, u latchkey.UserID, a *machine){
		"its holder was removed": func(w *world, _ latchkey.UserID, a *machine) {
			w.must(w.db.RemoveMachine(w.ctx, a.id, latchkey.Event{Kind: latchkey.MachineRemovedEvent}))
		},
		"its holder wiped the user": func(w *world, u latchkey.UserID, a *machine) {
			w.must(w.enroll.Disenroll(w.ctx, "admin", "ana", "pc-a"))
			a.sync()
			a.sync(api.Known{User: u, Version: a.fetch(u).Version, Wiped: true})
		},
		"it expired": func(w *world, _ latchkey.UserID, _ *machine) { w.pass(6 * day) },
		"its holder may hold codes no more": func(w *world, u latchkey.UserID, a *machine) {
			w.policy(func(p *latchkey.Policy) { p.Factors.Offline = []latchkey.Kind{latchkey.TOTP} })
			v := version(a.sync(), u)
			if w.kinds(latchkey.LeaseReleased) != 0 {
				w.Errorf("released before the machine said so")
			}
			a.fetch(u)
			a.sync(api.Known{User: u, Version: v})
			a.sync(api.Known{User: u, Version: v})
			if w.kinds(latchkey.LeaseReleased) != 1 {
				w.Errorf("%d releases are recorded", w.kinds(latchkey.LeaseReleased))
			}
			w.policy(func(*latchkey.Policy) {})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, u, a, b, _ := two(t)
			w.pass(day)
			w.expect(b.login("ana", counter(1)), "allow verified_online")
			w.pass(time.Minute)
			b.sync()
			if b.fetch(u).Enrolled {
				t.Fatal("B holds codes while A has the lease")
			}
			free(w, u, a)
			b.sync()
			if b.fetch(u).Enrolled {
				t.Error("a sync took the lease")
			}
			w.expect(b.login("ana", counter(2)), "allow verified_online")
			b.sync()
			if from, past := span(b.fetch(u)); from != 3 || past != 33 {
				t.Errorf("B holds %d to %d", from, past)
			}
			if n := w.kinds(latchkey.LeaseMoved); n != 1 {
				t.Errorf("%d moves are recorded", n)
			}
		})
	}
}

func TestALeaseEndsThirtyDaysAfterTheLastContact(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for left, want := range map[time.Duration]time.Duration{day: day, 30 * day: 30 * day, 90 * day: 30 * day} {
		if got := fleet.LeaseEnd(now.Add(left), now); !got.Equal(now.Add(want)) {
			t.Errorf("%v before the last day: %v", left, got)
		}
	}
}

// The laptop with the stale lease comes home: what it used counts, it is no
// liar, and one code that both used is one incident.
func TestAStaleLeaseIsMergedAndLocksNobodyOut(t *testing.T) {
	t.Parallel()
	w, u, a, b, token := two(t)
	w.expect(b.login("ana", counter(1)), "allow verified_online")
	w.move(token, "pc-b")
	b.sync()
	b.fetch(u)
	b.offline(u, token, 2)
	b.offline(u, token, 3)
	b.sync()
	a.offline(u, token, 3)
	a.offline(u, token, 20)
	if got := a.sync(); got.State != "active" {
		t.Fatalf("A is %s: %v", got.State, w.incidents())
	}
	if got := w.incidents(); !slices.Equal(got, []string{"one code was used for two logins"}) {
		t.Errorf("incidents %v", got)
	}
	b.sync()
	h := b.fetch(u)
	if h.Credentials[0].Next != 21 {
		t.Errorf("B is told %d", h.Credentials[0].Next)
	}
	w.expect(a.login("ana", counter(20)), "deny code_already_used")
	w.expect(a.login("ana", counter(21)), "allow verified_online")
	// It was never handed this one, whoever was.
	a.offline(u, token, 51)
	if got := a.sync(); got.State != "quarantined" {
		t.Errorf("A is %s", got.State)
	}
}

func TestACodeTwiceInOneReportIsOneIncident(t *testing.T) {
	t.Parallel()
	w, u, a, _, token := two(t)
	a.offline(u, token, 4)
	a.offline(u, token, 4)
	a.sync()
	if got := w.incidents(); !slices.Equal(got, []string{"one code was used for two logins"}) {
		t.Errorf("incidents %v", got)
	}
}

// While a machine holds codes that it may have used, the server finds the token
// up to ten past them.
func TestTheServerFindsATokenPastWhatWasHandedOut(t *testing.T) {
	t.Parallel()
	w, _, _, b, _ := two(t)
	narrow := 5
	w.policy(func(p *latchkey.Policy) { p.HOTP = latchkey.HOTPRules{Window: 12, Buffer: 5, Quota: &narrow} })
	// A holds 1 to 30, whatever the policy says now.
	w.expect(b.login("ana", counter(42)), "deny wrong_code")
	w.expect(b.login("ana", counter(41)), "ask secret")
	w.expect(b.login("ana", counter(41), counter(42)), "allow verified_online")
	w.expect(b.login("ana", counter(43+13)), "deny wrong_code")
}

func TestAnAdministratorBringsATokenBack(t *testing.T) {
	t.Parallel()
	w, u, a, b, token := two(t)
	codes := func(n, m uint64) api.Resync { return api.Resync{Codes: []string{counter(n), counter(m)}} }
	for name, in := range map[string]api.Resync{
		"none": {}, "one": {Codes: []string{counter(1)}}, "apart": codes(500, 502), "used": codes(0, 1), "too far": codes(1002, 1003),
	} {
		if _, err := w.enroll.Resync(w.ctx, "admin", token, in); latchkey.CodeOf(err) != latchkey.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	w.expect(b.login("ana", counter(500)), "deny wrong_code")
	got, err := w.enroll.Resync(w.ctx, "admin", token, codes(500, 501))
	if want := (api.Resynced{ID: token, Next: 502, Skipped: 499}); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	if n := w.kinds(latchkey.TokenResynced); n != 1 {
		t.Errorf("%d are recorded", n)
	}
	w.expect(b.login("ana", counter(501)), "deny code_already_used")
	w.expect(b.login("ana", counter(502)), "allow verified_online")
	a.sync()
	if from, _ := span(a.fetch(u)); from != 503 {
		t.Errorf("A begins at %d", from)
	}
}

// A machine that reports a login for every code that it is handed gets the next
// ones for it: that must not carry the counter away from the token in the
// user's hand.
func TestAMachineWalksACounterNoFurtherThanOneAllowance(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		logins *int
		most   uint64
	}{"counted logins": {new(150), 150 + 35}, "logins that are not counted": {nil, 10 * 35}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, u, a, b, token := two(t)
			w.policy(func(p *latchkey.Policy) { p.Offline.Logins = tc.logins })
			next := func() uint64 {
				_, held, err := w.db.Token(w.ctx, token)
				w.must(err)
				return held.State.Next
			}
			walk := func() {
				for range 20 {
					a.sync()
					from, past := span(a.fetch(u))
					for n := from; n < past; n++ {
						a.offline(u, token, n)
					}
					a.sync()
				}
			}
			walk()
			if got := next(); got != 1+tc.most {
				t.Fatalf("the counter is at %d, want %d", got, 1+tc.most)
			}
			if from, past := span(a.fetch(u)); past != from {
				t.Errorf("the machine holds %d to %d", from, past)
			}
			// The token is where its owner left it: an administrator finds it, and
			// a code that the server takes, here or elsewhere, begins anew.
			w.expect(b.login("ana", counter(next())), "allow verified_online")
			walk()
			if got := next(); got != 2+2*tc.most {
				t.Errorf("after an online login the counter is at %d, want %d", got, 2+2*tc.most)
			}
		})
	}
}
