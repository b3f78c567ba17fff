package fleet_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"latchkey"
	"latchkey/internal/api"
	"latchkey/internal/report"
)

// settle is all that a contact of a real machine does: report, fetch, and
// confirm what was fetched.
func (m *machine) settle(u latchkey.UserID) {
	m.Helper()
	v := version(m.sync(), u)
	h := m.fetch(u)
	m.sync(api.Known{User: u, Version: v, Anchor: h.Anchor, Wiped: h.Status == "tombstoned"})
}

// reported is one row of the report, in words.
func (w *world) reported(user, machine string) string {
	w.Helper()
	rows, _, err := report.New(w.db, w.now).OfflineEnrollments(w.ctx, user, machine, latchkey.Page{})
	w.must(err)
	if len(rows) != 1 {
		return fmt.Sprintf("%d rows", len(rows))
	}
	r, left, until := rows[0], "uncounted", "never"
	if r.LoginsLeft != nil {
		left = fmt.Sprint(*r.LoginsLeft)
	}
	if r.ValidUntil != nil {
		until = fmt.Sprintf("+%v", r.ValidUntil.Sub(w.now()))
	}
	slices.Sort(r.Authenticators) // two of one moment are in no order
	out := fmt.Sprintf("%v %s %s", r.Authenticators, left, until)
	if r.Pending != "" {
		out += " pending " + r.Pending
	}
	if r.Ready != (r.NotReady == "") {
		w.Errorf("ready is %v, because %q", r.Ready, r.NotReady)
	}
	if !r.Ready {
		out += ": " + r.NotReady
	}
	return out
}

func TestL14TheReportSaysWhatTheMachineHolds(t *testing.T) {
	t.Parallel()
	const full, away = "[totp] 150 +168h0m0s", "[totp] 150 +168h0m0s pending removal: "
	for name, tc := range map[string]struct {
		change        func(w *world, u latchkey.UserID)
		before, after string // the machine's contact
	}{
		"nothing changes": {func(*world, latchkey.UserID) {}, full, full},
		"the user is disabled": {func(w *world, u latchkey.UserID) {
			w.must(w.db.SetDisabled(w.ctx, u, true, latchkey.Event{Kind: latchkey.UserDisabled}))
		}, away + "the account is disabled", "[] 0 never: the account is disabled"},
		"his authenticator is removed": {func(w *world, u latchkey.UserID) {
			all, err := w.db.AuthenticatorsOf(w.ctx, u)
			w.must(err)
			w.must(w.db.RemoveAuthenticator(w.ctx, u, all[0].ID, latchkey.Event{Kind: latchkey.AuthenticatorRemoved}))
		}, away + "no authenticator that works offline there", "[] 0 never: no authenticator that works offline there"},
		"L03 he is disenrolled": {func(w *world, _ latchkey.UserID) {
			w.must(w.enroll.Disenroll(w.ctx, "admin", "ana", "pc"))
		}, away + "not enrolled for offline logons there", "0 rows"},
		"he is deleted": {func(w *world, u latchkey.UserID) {
			w.must(w.db.DeleteUser(w.ctx, u, latchkey.Event{Kind: latchkey.UserDeleted}))
		}, away + "not enrolled for offline logons there", "0 rows"},
		"he is protected": {func(w *world, _ latchkey.UserID) {
			w.policy(func(p *latchkey.Policy) { p.Protected = true })
		}, away + "the policy protects the user: no machine holds codes that work elsewhere too",
			"[] 0 never: the policy protects the user: no machine holds codes that work elsewhere too"},
		"the keys are too weak": {func(w *world, _ latchkey.UserID) {
			w.policy(func(p *latchkey.Policy) { p.MinKeyClass = latchkey.Virtual })
		}, away + "the machine's key class is below min_key_class: it holds nothing for offline logons",
			"[] 0 never: the machine's key class is below min_key_class: it holds nothing for offline logons"},
		"offline logins are switched off": {func(w *world, _ latchkey.UserID) {
			w.policy(func(p *latchkey.Policy) { p.Offline.Enabled = false })
		}, away + "the policy switches offline logins off", "[] 0 never: the policy switches offline logins off"},
		"a second kind is asked for": {func(w *world, _ latchkey.UserID) {
			w.policy(func(p *latchkey.Policy) { p.Factors.Required = 2 })
		}, "[totp] 150 +168h0m0s pending issue: fewer kinds of authenticators work offline there than the policy asks for",
			"[totp] 150 +168h0m0s: fewer kinds of authenticators work offline there than the policy asks for"},
		"the days become fewer": {func(w *world, _ latchkey.UserID) {
			w.policy(func(p *latchkey.Policy) { *p.Offline.Days = 2 })
		}, "[totp] 150 +168h0m0s pending issue", "[totp] 150 +48h0m0s"},
		"the logins become fewer": {func(w *world, _ latchkey.UserID) {
			w.policy(func(p *latchkey.Policy) { *p.Offline.Logins = 3 })
		}, "[totp] 150 +168h0m0s pending issue", "[totp] 3 +168h0m0s"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			u := w.user("ana", latchkey.TOTP)
			pc := w.machine("pc")
			w.expect(pc.login("ana", w.code(0)), "allow verified_online")
			w.expect(w.reported("ana", "pc"), "[] 0 never pending issue: the machine has not confirmed yet that it holds his codes")
			pc.settle(u)
			w.expect(w.reported("ana", "pc"), full)
			tc.change(w, u)
			w.expect(w.reported("ana", "pc"), tc.before)
			pc.settle(u)
			w.expect(w.reported("ana", "pc"), tc.after)
		})
	}
}

// Approval waits for an administrator, not for the machine.
func TestTheReportSaysThatAQuarantinedMachineGetsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.user("ana", latchkey.TOTP)
	pc := w.machine("pc")
	w.expect(pc.login("ana", w.code(0)), "allow verified_online")
	pc.settle(u)
	w.user("ben", latchkey.HOTP)
	w.expect(pc.login("ben", counter(0)), "allow verified_online")
	pc.offline(u, "aut_none", 1)
	if got := pc.sync(); got.State != "quarantined" {
		t.Fatalf("the machine is %s", got.State)
	}
	w.expect(w.reported("ana", "pc"), "[totp] 150 +168h0m0s")
	w.must(w.db.SetDisabled(w.ctx, u, true, latchkey.Event{Kind: latchkey.UserDisabled}))
	w.expect(w.reported("ana", "pc"), "[totp] 150 +168h0m0s pending removal: the account is disabled")
	w.expect(w.reported("ben", "pc"), "[] 0 never: the machine is quarantined: it is issued nothing")
}

// What was made for a machine and not confirmed may have come through.
func TestTheReportExpectsTheWorstOfWhatWasNotConfirmed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.user("ana", latchkey.TOTP)
	pc := w.machine("pc")
	w.expect(pc.login("ana", w.code(0)), "allow verified_online")
	pc.sync()
	pc.fetch(u)
	w.expect(w.reported("ana", "pc"), "[] 150 +168h0m0s pending issue: the machine has not confirmed yet that it holds his codes")
	w.must(w.db.SetDisabled(w.ctx, u, true, latchkey.Event{Kind: latchkey.UserDisabled}))
	w.expect(w.reported("ana", "pc"), "[] 150 +168h0m0s pending removal: the account is disabled")
	w.pass(8 * day)
	w.expect(w.reported("ana", "pc"), "[] 150 +-24h0m0s pending issue: the account is disabled")
}

func TestL14TheReportKnowsWhereATokensCodesAre(t *testing.T) {
	t.Parallel()
	w, u, a, b, token := two(t)
	a.settle(u)
	w.expect(b.login("ana", counter(1)), "allow verified_online")
	b.settle(u)
	until := w.now().Add(7 * day).Format(time.RFC3339)
	w.expect(w.reported("ana", "pc-b"), "[] 0 never: no authenticator that works offline there: the codes of the hardware token are on pc-a, until "+until)
	w.expect(w.reported("ana", "pc-a"), "[hotp] 29 +168h0m0s")
	w.must(second(w.enroll.MoveLease(w.ctx, "admin", token, "pc-b")))
	w.expect(w.reported("ana", "pc-b"), "[] 0 never pending issue: the machine has not confirmed yet that it holds his codes")
	moved := ": no authenticator that works offline there: the codes of the hardware token are on pc-b, until " + w.now().Add(30*day).Format(time.RFC3339)
	w.expect(w.reported("ana", "pc-a"), "[hotp] 29 +168h0m0s pending removal"+moved)
	b.settle(u)
	w.expect(w.reported("ana", "pc-b"), "[hotp] 30 +168h0m0s")
	a.settle(u)
	w.expect(w.reported("ana", "pc-a"), "[] 0 never: no authenticator that works offline there: the codes of the hardware token are on pc-b, until "+until)
}

// Whoever has nothing but a token can log in as often as it has codes.
func TestE10TheReportCountsTheCodesOfATokenThatIsAlone(t *testing.T) {
	t.Parallel()
	const usedUp = ": the machine holds no more codes of the hardware token: they come with its next contact"
	for name, tc := range map[string]struct {
		kinds    []latchkey.Kind
		required int
		answers  func(w *world) []string
		full     string
		empty    string
	}{
		"a token alone": {
			[]latchkey.Kind{latchkey.HOTP}, 1, func(*world) []string { return []string{counter(0)} },
			"[hotp] 30 +168h0m0s", "[] 0 +168h0m0s" + usedUp,
		},
		"beside an app": {
			[]latchkey.Kind{latchkey.HOTP, latchkey.TOTP}, 1, func(w *world) []string { return []string{"hotp", counter(0)} },
			"[hotp totp] 150 +168h0m0s", "[totp] 150 +168h0m0s",
		},
		"both are asked for": {
			[]latchkey.Kind{latchkey.HOTP, latchkey.TOTP}, 2, func(w *world) []string { return []string{w.code(0), counter(0)} },
			"[hotp totp] 30 +168h0m0s", "[totp] 0 +168h0m0s" + usedUp,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.policy(func(p *latchkey.Policy) { p.Factors.Required = tc.required })
			u := w.user("ana", tc.kinds...)
			pc := w.machine("pc")
			w.expect(pc.login("ana", tc.answers(w)...), "allow verified_online")
			pc.settle(u)
			w.expect(w.reported("ana", "pc"), tc.full)
			all, err := w.db.AuthenticatorsOf(w.ctx, u)
			w.must(err)
			codes := api.Resync{Codes: []string{counter(40), counter(41)}}
			i := slices.IndexFunc(all, func(a latchkey.Authenticator) bool { return a.Kind == latchkey.HOTP })
			w.must(second(w.enroll.Resync(w.ctx, "admin", all[i].ID, codes)))
			w.expect(w.reported("ana", "pc"), tc.empty)
		})
	}
}
