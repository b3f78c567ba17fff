package policy

import (
	"slices"

	"latchkey"
)

// Decide applies the outcome table: the first row that matches wins, and the
// last one denies.
func Decide(f Facts) Decision {
	d := table(f)
	d.Emergency = f.Offline && d.Row > 3 && (d.Action == Deny || d.Action == Lock)
	d.Bypass = !f.Offline && (d.Action == Lock || d.Reason == latchkey.NotEnrolled)
	if logOnly(f, d) {
		return Decision{Row: d.Row, Action: Enter, Reason: latchkey.LogOnly, Would: &d}
	}
	return d
}

// logOnly reports whether the policy only records. It is an exemption that the
// user's policy gives, so it yields to a machine that is enforced, and it never
// revives a removed machine, an ambiguous name or a disabled account.
func logOnly(f Facts, d Decision) bool {
	records := d.Action != Allow && d.Action != Enter // an entry keeps its own reason
	return records && d.Row > 3 && f.Policy != nil && f.Policy.LogOnlyAt(f.Now) && !f.enforced()
}

// A row answers whether it matches, and with what.
type row struct {
	number int
	state  string
	apply  func(Facts) (Decision, bool)
}

// rows is the outcome table. Row 4 is no row of its own: it makes enforced and
// trusted answer differently in the rows below it.
var rows = []row{
	{1, "machine removed from the server", machineRemoved},
	{2, "identity ambiguous, or another uid under a pinned name", identityUnclear},
	{3, "user disabled, restricted or tombstoned", accountDisabled},
	{5, "scenario switched off for this user or machine", scenarioOff},
	{6, "machine exempt and not expired", machineExempt},
	{7, "locked by failures", lockedOut},
	{8, "user unknown here", userUnknown},
	{9, "no policy with machine login covers the user", notCovered},
	{10, "trust or grace valid", ticket},
	{11, "online, at least N usable factors", askOnline},
	{12, "online, too few factors", tooFewOnline},
	{13, "offline, enrolled here, limit reached", limitReached},
	{14, "offline, at least N usable factors here", askOffline},
	{15, "offline, too few usable factors here", tooFewOffline},
}

func table(f Facts) Decision {
	for _, r := range rows {
		if d, ok := r.apply(f); ok {
			d.Row = r.number
			return d
		}
	}
	return Decision{Row: 16, Action: Deny, Reason: latchkey.InternalError}
}

func deny(r latchkey.Reason) (Decision, bool)  { return Decision{Action: Deny, Reason: r}, true }
func enter(r latchkey.Reason) (Decision, bool) { return Decision{Action: Enter, Reason: r}, true }
func pass() (Decision, bool)                   { return Decision{}, false }

func machineRemoved(f Facts) (Decision, bool) {
	if f.Machine.Removed {
		return deny(latchkey.MachineRemoved)
	}
	return pass()
}

func identityUnclear(f Facts) (Decision, bool) {
	if f.User.Ambiguous {
		return deny(latchkey.UnknownIdentity)
	}
	return pass()
}

func accountDisabled(f Facts) (Decision, bool) {
	if f.User.Disabled {
		return deny(latchkey.AccountDisabled)
	}
	return pass()
}

func scenarioOff(f Facts) (Decision, bool) {
	if f.trusted() && f.Policy != nil && !f.Policy.Rules(f.Scenario).Ask {
		return enter(latchkey.ScenarioOff)
	}
	return pass()
}

func machineExempt(f Facts) (Decision, bool) {
	if f.trusted() && f.Machine.Settings.ExemptAt(f.Now) {
		return enter(latchkey.MachineExempt)
	}
	return pass()
}

func lockedOut(f Facts) (Decision, bool) {
	if f.Locked {
		return Decision{Action: Lock, Reason: latchkey.LockedOut}, true
	}
	return pass()
}

func userUnknown(f Facts) (Decision, bool) {
	if f.User.Known {
		return pass()
	}
	if !f.enforced() && f.Machine.Settings.UnknownUsers == latchkey.Skip {
		return enter(latchkey.NotCovered)
	}
	return deny(latchkey.UnknownIdentity)
}

func notCovered(f Facts) (Decision, bool) {
	if f.Policy != nil {
		return pass()
	}
	if f.enforced() {
		return deny(latchkey.NoPolicy)
	}
	return enter(latchkey.NotCovered)
}

func ticket(f Facts) (Decision, bool) {
	if f.Offline && (!f.Signed || f.spent()) {
		return pass()
	}
	if f.Grace && f.Scenario != latchkey.RemoteLogon && f.Policy.Rules(f.Scenario).GraceMinutes > 0 {
		return Decision{Action: Allow, Reason: latchkey.Grace}, true
	}
	if f.Trust && trustAllowed(f) {
		return Decision{Action: Allow, Reason: latchkey.Trusted}, true
	}
	return pass()
}

// trustAllowed: a trusted machine never covers elevation or remote logons, and
// an enforced one only where the administrator said so.
func trustAllowed(f Facts) bool {
	local := f.Scenario == latchkey.Console || f.Scenario == latchkey.Unlock
	return local && f.Policy.TrustHours != nil && (!f.enforced() || f.Machine.Settings.TrustOnEnforced)
}

func askOnline(f Facts) (Decision, bool) {
	if f.Offline {
		return pass()
	}
	return ask(f, usable(f, f.Policy.Factors.Online, f.Usable), false)
}

func tooFewOnline(f Facts) (Decision, bool) {
	if f.Offline {
		return pass()
	}
	if !f.enforced() {
		switch f.Policy.NotEnrolled {
		case latchkey.Skip:
			return enter(latchkey.SkippedNotEnrolled)
		case latchkey.EnrollThen:
			return Decision{Action: Enroll, Reason: latchkey.NotEnrolled}, true
		}
	}
	return deny(latchkey.NotEnrolled)
}

func limitReached(f Facts) (Decision, bool) {
	if f.Offline && f.Local.Enrolled && f.spent() {
		return Decision{Action: Deny, Reason: latchkey.OfflineLimitReached, DaysOver: f.Local.LastDayOver}, true
	}
	return pass()
}

func askOffline(f Facts) (Decision, bool) {
	if !f.Offline {
		return pass()
	}
	return ask(f, offlineKinds(f), f.Policy.Spends(f.Scenario))
}

// tooFewOffline: a clock that was set back takes TOTP away, and a token that was
// pressed too often HOTP. Neither must earn a waiver by doing so.
func tooFewOffline(f Facts) (Decision, bool) {
	if !f.Offline {
		return pass()
	}
	if clockTookFactors(f) {
		return deny(latchkey.ClockBehind)
	}
	if tokenTookFactors(f) {
		return Decision{Action: Deny, Reason: latchkey.OfflineLimitReached, TokenUsedUp: true}, true
	}
	if !f.enforced() && f.Policy.Unreachable == latchkey.Skip {
		return enter(latchkey.SkippedUnreachable)
	}
	return deny(offlineReason(f))
}

func offlineReason(f Facts) latchkey.Reason {
	switch {
	case f.Local.Corrupt:
		return latchkey.StateCorrupt
	case !f.Policy.Offline.Enabled:
		return latchkey.ServerUnreachable
	}
	return latchkey.NotEnrolledHere
}

func clockTookFactors(f Facts) bool {
	if !f.Local.ClockBehind {
		return false
	}
	f.Local.ClockBehind = false
	_, enough := ask(f, offlineKinds(f), false)
	return enough
}

// tokenTookFactors: with codes of the token it would have been enough, whatever
// the clock says.
func tokenTookFactors(f Facts) bool {
	if !f.Local.TokenUsedUp {
		return false
	}
	f.Local.TokenUsedUp, f.Local.ClockBehind = false, false
	_, enough := ask(f, offlineKinds(f), false)
	return enough
}

// offlineKinds are the kinds that this machine can check now.
func offlineKinds(f Facts) []latchkey.Kind {
	p := f.Policy
	if !p.Offline.Enabled || !f.Local.Enrolled || f.Local.Corrupt || f.Machine.KeyClass.Rank() < p.MinKeyClass.Rank() {
		return nil
	}
	kinds := usable(f, p.Factors.Offline, f.Usable)
	return slices.DeleteFunc(kinds, func(k latchkey.Kind) bool {
		return k == latchkey.TOTP && f.Local.ClockBehind || k == latchkey.HOTP && f.Local.TokenUsedUp
	})
}

// usable are the listed kinds that the user has, in the list's order. A key in
// a port here proves nothing about a person far away.
func usable(f Facts, listed, has []latchkey.Kind) []latchkey.Kind {
	var out []latchkey.Kind
	for _, k := range listed {
		far := k == latchkey.FIDO2 && (f.Scenario == latchkey.RemoteLogon || f.Scenario == latchkey.RemoteClient)
		if slices.Contains(has, k) && !slices.Contains(out, k) && !far {
			out = append(out, k)
		}
	}
	return out
}

func ask(f Facts, kinds []latchkey.Kind, spends bool) (Decision, bool) {
	n := max(1, f.Policy.Factors.Required)
	if len(kinds) < n {
		return pass()
	}
	return Decision{Action: Ask, Required: n, Kinds: kinds, Spends: spends}, true
}
