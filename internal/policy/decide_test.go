package policy_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"latchkey"
	"latchkey/internal/policy"
)

var now = time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)

// known is a user with an app and a token, covered by the policy that ships
// with the server, enrolled on this machine, whose signed objects are fresh.
func known() policy.Facts {
	p := latchkey.BuiltinPolicy()
	return policy.Facts{
		Now: now, Scenario: latchkey.Console, Signed: true, Policy: &p,
		Machine: policy.Machine{Settings: latchkey.DefaultSettings(), KeyClass: latchkey.Software},
		User:    policy.User{Known: true},
		Usable:  []latchkey.Kind{latchkey.TOTP, latchkey.HOTP},
		Local:   policy.Local{Enrolled: true},
	}
}

// states are the states of the outcome table, in its order, each as a change
// to a user who has everything.
var states = []struct {
	row  string
	name string
	set  func(*policy.Facts)
}{
	{"1", "machine removed from the server", func(f *policy.Facts) { f.Machine.Removed = true }},
	{"1", "machine removed, and exempt", func(f *policy.Facts) { f.Machine.Removed = true; f.Machine.Settings.Mode = latchkey.Exempt }},
	{"2", "identity ambiguous or another uid", func(f *policy.Facts) { f.User.Ambiguous = true }},
	{"3", "user disabled or tombstoned", func(f *policy.Facts) { f.User.Disabled = true }},
	{"3", "user disabled, and trusted", func(f *policy.Facts) { f.User.Disabled, f.Trust = true, true; trust(f) }},
	{"3", "user disabled, policy only records", func(f *policy.Facts) { f.User.Disabled = true; logOnly(f) }},
	{"4", "signed objects missing or old", func(f *policy.Facts) { f.Signed = false }},
	{"4", "signed objects old, scenario off", func(f *policy.Facts) { f.Signed = false; off(f) }},
	{"4", "signed objects old, machine exempt", func(f *policy.Facts) { f.Signed = false; f.Machine.Settings.Mode = latchkey.Exempt }},
	{"4", "signed objects old, nothing enrolled, skip", func(f *policy.Facts) { f.Signed = false; nothing(f); skip(f) }},
	{"4", "signed objects missing, user never seen", func(f *policy.Facts) {
		f.Signed, f.User.Known, f.Policy = false, false, nil
		f.Machine.Settings.UnknownUsers = latchkey.Skip
	}},
	{"5", "scenario switched off", off},
	{"6", "machine exempt without an end", func(f *policy.Facts) { f.Machine.Settings.Mode = latchkey.Exempt }},
	{"6", "machine exempt until later", func(f *policy.Facts) {
		f.Machine.Settings.Mode, f.Machine.Settings.ExemptUntil = latchkey.Exempt, now.Add(1)
	}},
	{"6", "exemption expired this instant", func(f *policy.Facts) { f.Machine.Settings.Mode, f.Machine.Settings.ExemptUntil = latchkey.Exempt, now }},
	{"7", "locked by failures", func(f *policy.Facts) { f.Locked = true }},
	{"7", "locked, and trusted", func(f *policy.Facts) { f.Locked, f.Trust = true, true; trust(f) }},
	{"8", "user unknown here", unknown},
	{"8", "user unknown, unknown_users=skip", func(f *policy.Facts) { unknown(f); f.Machine.Settings.UnknownUsers = latchkey.Skip }},
	{"9", "no policy covers the user", func(f *policy.Facts) { f.Policy = nil }},
	{"10", "trusted", func(f *policy.Facts) { f.Trust = true; trust(f) }},
	{"10", "trusted, trust allowed on enforced machines", func(f *policy.Facts) { f.Trust = true; trust(f); f.Machine.Settings.TrustOnEnforced = true }},
	{"10", "trusted, but the policy gives no trust", func(f *policy.Facts) { f.Trust = true }},
	{"10", "trusted, elevating", func(f *policy.Facts) { f.Trust = true; trust(f); f.Scenario = latchkey.Elevate }},
	{"10", "trusted, remote", func(f *policy.Facts) { f.Trust = true; trust(f); f.Scenario = latchkey.RemoteLogon }},
	{"10", "trusted, allowance used up", func(f *policy.Facts) { f.Trust = true; trust(f); f.Local.UsedUp = true }},
	{"10", "in grace, elevating", func(f *policy.Facts) { f.Grace = true; grace(f, latchkey.Elevate) }},
	{"10", "in grace, but the policy gives none", func(f *policy.Facts) { f.Grace = true }},
	{"10", "in grace, remote", func(f *policy.Facts) { f.Grace = true; grace(f, latchkey.RemoteLogon) }},
	{"11 14", "has what is needed", func(*policy.Facts) {}},
	{"11 14", "remote, has a key as well", func(f *policy.Facts) {
		f.Scenario, f.Usable = latchkey.RemoteLogon, []latchkey.Kind{latchkey.FIDO2, latchkey.TOTP}
	}},
	{"11 14", "two factors needed, has two", func(f *policy.Facts) { f.Policy.Factors.Required = 2 }},
	{"11 14", "two factors needed, has one", func(f *policy.Facts) { f.Policy.Factors.Required, f.Usable = 2, []latchkey.Kind{latchkey.TOTP} }},
	{"11 14", "two factors needed, has one kind twice", func(f *policy.Facts) {
		f.Policy.Factors.Required, f.Usable = 2, []latchkey.Kind{latchkey.TOTP, latchkey.TOTP}
	}},
	{"11 14", "offline list is narrower", func(f *policy.Facts) { f.Policy.Factors.Offline = []latchkey.Kind{latchkey.HOTP} }},
	{"12 15", "has no factor", func(f *policy.Facts) { nothing(f) }},
	{"12 15", "has no factor, not_enrolled=skip", func(f *policy.Facts) { nothing(f); f.Policy.NotEnrolled = latchkey.Skip }},
	{"12 15", "has no factor, not_enrolled=enroll", func(f *policy.Facts) { nothing(f); f.Policy.NotEnrolled = latchkey.EnrollThen }},
	{"12 15", "has no factor, unreachable=skip", func(f *policy.Facts) { nothing(f); skip(f) }},
	{"13", "last day over", func(f *policy.Facts) { f.Local.LastDayOver = true }},
	{"13", "logins used up", func(f *policy.Facts) { f.Local.UsedUp = true }},
	{"13", "logins used up, elevating (does not spend)", func(f *policy.Facts) { f.Local.UsedUp, f.Scenario = true, latchkey.Elevate }},
	{"13", "last day over, elevating", func(f *policy.Facts) { f.Local.LastDayOver, f.Scenario = true, latchkey.Elevate }},
	{"13", "logins used up, unreachable=skip", func(f *policy.Facts) { f.Local.UsedUp = true; skip(f) }},
	{"15", "offline switched off in the policy", func(f *policy.Facts) { f.Policy.Offline.Enabled, f.Local.Enrolled = false, false }},
	{"15", "local state unreadable", func(f *policy.Facts) { f.Local.Corrupt = true }},
	{"15", "machine's keys too weak for the policy", func(f *policy.Facts) { f.Policy.MinKeyClass = latchkey.TPM }},
	{"15", "clock behind, has a token", func(f *policy.Facts) { f.Local.ClockBehind = true }},
	{"15", "clock behind, has only an app", func(f *policy.Facts) { f.Local.ClockBehind, f.Usable = true, []latchkey.Kind{latchkey.TOTP} }},
	{"15", "token used up, has an app", func(f *policy.Facts) { f.Local.TokenUsedUp = true }},
	{"15", "token used up, has nothing else", func(f *policy.Facts) { f.Local.TokenUsedUp, f.Usable = true, []latchkey.Kind{latchkey.HOTP} }},
	{"15", "token used up, nothing else, skip", func(f *policy.Facts) {
		f.Local.TokenUsedUp, f.Usable = true, []latchkey.Kind{latchkey.HOTP}
		skip(f)
	}},
	{"15", "token used up and clock behind, skip", func(f *policy.Facts) { f.Local.TokenUsedUp, f.Local.ClockBehind = true, true; skip(f) }},
	{"15", "clock behind, only an app, skip", func(f *policy.Facts) {
		f.Local.ClockBehind, f.Usable = true, []latchkey.Kind{latchkey.TOTP}
		skip(f)
	}},
	{"-", "policy only records, has no factor", func(f *policy.Facts) { nothing(f); logOnly(f) }},
	{"-", "policy only records, has what is needed", logOnly},
	{"-", "policy only records, locked", func(f *policy.Facts) { f.Locked = true; logOnly(f) }},
	{"-", "policy only recorded until this instant", func(f *policy.Facts) { f.Policy.LogOnly = &now }},
	{"-", "machine mode damaged", func(f *policy.Facts) { f.Machine.Settings.Mode = "exmpt"; nothing(f); skip(f) }},
}

func off(f *policy.Facts) {
	f.Policy.Scenarios = map[latchkey.Scenario]latchkey.ScenarioRules{latchkey.Console: {Ask: false}}
}
func unknown(f *policy.Facts) {
	f.User.Known, f.Policy, f.Usable, f.Local.Enrolled = false, nil, nil, false
}
func nothing(f *policy.Facts) { f.Usable, f.Local.Enrolled = nil, false }
func skip(f *policy.Facts)    { f.Policy.Unreachable = latchkey.Skip }
func trust(f *policy.Facts)   { h := 8; f.Policy.TrustHours = &h }
func logOnly(f *policy.Facts) { t := now.Add(time.Hour); f.Policy.LogOnly = &t }
func grace(f *policy.Facts, s latchkey.Scenario) {
	f.Scenario = s
	f.Policy.Scenarios = map[latchkey.Scenario]latchkey.ScenarioRules{s: {Ask: true, GraceMinutes: 5}}
}

// TestOutcomeTable writes the whole table as a manual page and compares it
// with the one that was agreed on. Set UPDATE_GOLDEN=1 to write it anew; read
// the difference as a change of the product.
func TestOutcomeTable(t *testing.T) {
	var b strings.Builder
	fmt.Fprintf(&b, "%-6s%-46s%-10s%-34s%s\n", "row", "state", "machine", "online", "offline")
	for _, s := range states {
		for _, mode := range []latchkey.Mode{latchkey.Default, latchkey.Enforce} {
			f := known()
			f.Machine.Settings.Mode = mode
			s.set(&f)
			if f.Machine.Settings.Mode != mode && mode == latchkey.Enforce {
				continue // the state sets the mode itself
			}
			on := policy.Decide(f)
			f.Offline = true
			fmt.Fprintf(&b, "%-6s%-46s%-10s%-34s%s\n", s.row, s.name, f.Machine.Settings.Mode, on, policy.Decide(f))
		}
	}
	const file = "testdata/outcomes.txt"
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("the outcome table changed:\n%s", firstDifference(b.String(), string(want)))
	}
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range g {
		if i >= len(w) || g[i] != w[i] {
			return fmt.Sprintf("line %d\n got %s\nwant %s", i+1, g[i], append(w, "")[min(i, len(w))])
		}
	}
	return "lines are missing at the end"
}

func TestZeroFactsDeny(t *testing.T) {
	for _, offline := range []bool{false, true} {
		d := policy.Decide(policy.Facts{Offline: offline})
		if d.Action != policy.Deny {
			t.Errorf("offline %v: nothing is known, and the decision is %v", offline, d)
		}
	}
}
