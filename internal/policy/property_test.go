package policy_test

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"latchkey"
	"latchkey/internal/policy"
)

// facts draws any facts at all, likely and unlikely.
func facts(t *rapid.T) policy.Facts {
	kinds := rapid.SliceOfNDistinct(rapid.SampledFrom(latchkey.PolicyKinds), 0, 4, rapid.ID[latchkey.Kind])
	yes := rapid.Bool()
	f := policy.Facts{
		Now:      now,
		Scenario: rapid.SampledFrom(latchkey.Scenarios).Draw(t, "scenario"),
		Signed:   yes.Draw(t, "signed"),
		Usable:   kinds.Draw(t, "usable"),
		Locked:   yes.Draw(t, "locked"),
		Trust:    yes.Draw(t, "trust"),
		Grace:    yes.Draw(t, "grace"),
		Machine: policy.Machine{
			Removed:  rapid.IntRange(0, 9).Draw(t, "removed") == 0,
			KeyClass: rapid.SampledFrom([]latchkey.KeyClass{"", "S", "V", "T"}).Draw(t, "class"),
			Settings: latchkey.MachineSettings{
				Mode:            rapid.SampledFrom([]latchkey.Mode{"", "enforce", "default", "exempt", "?"}).Draw(t, "mode"),
				UnknownUsers:    rapid.SampledFrom([]latchkey.Fallback{"", "deny", "skip"}).Draw(t, "unknown"),
				TrustOnEnforced: yes.Draw(t, "trust on enforced"),
			},
		},
		User: policy.User{Known: yes.Draw(t, "known"), Ambiguous: rapid.IntRange(0, 9).Draw(t, "ambiguous") == 0, Disabled: rapid.IntRange(0, 9).Draw(t, "disabled") == 0},
		Local: policy.Local{
			Enrolled: yes.Draw(t, "enrolled"), Corrupt: yes.Draw(t, "corrupt"), ClockBehind: yes.Draw(t, "behind"), TokenUsedUp: yes.Draw(t, "token used up"),
			LastDayOver: yes.Draw(t, "over"), UsedUp: yes.Draw(t, "used up"),
		},
	}
	if yes.Draw(t, "covered") {
		p := latchkey.BuiltinPolicy()
		p.Factors = latchkey.Factors{Required: rapid.IntRange(0, 3).Draw(t, "required"), Online: kinds.Draw(t, "online"), Offline: kinds.Draw(t, "offline")}
		p.Offline.Enabled = yes.Draw(t, "offline on")
		p.NotEnrolled = rapid.SampledFrom([]latchkey.Fallback{"", "deny", "skip", "enroll"}).Draw(t, "not enrolled")
		p.Unreachable = rapid.SampledFrom([]latchkey.Fallback{"", "deny", "skip"}).Draw(t, "unreachable")
		p.MinKeyClass = rapid.SampledFrom([]latchkey.KeyClass{"S", "V", "T"}).Draw(t, "min class")
		if yes.Draw(t, "trusting") {
			h := 8
			p.TrustHours = &h
		}
		if yes.Draw(t, "recording") {
			until := now.Add(time.Hour)
			p.LogOnly = &until
		}
		p.Scenarios = map[latchkey.Scenario]latchkey.ScenarioRules{f.Scenario: {Ask: yes.Draw(t, "ask"), GraceMinutes: rapid.IntRange(0, 2).Draw(t, "grace minutes")}}
		f.Policy = &p
	}
	return f
}

// TestOfflineIsNeverLooser: cutting the network may swap the list of factors or
// meet an explicit fallback; it never removes the factor.
func TestOfflineIsNeverLooser(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := facts(t)
		on := policy.Decide(f)
		f.Offline = true
		off := policy.Decide(f)
		if off.Outcome().Enters() && !on.Outcome().Enters() && off.Reason != latchkey.SkippedUnreachable {
			t.Fatalf("online %v, offline %v", on, off)
		}
		if off.Action == policy.Ask {
			atLeastAsStrong(t, f, on, off)
		}
	})
}

func atLeastAsStrong(t *rapid.T, f policy.Facts, on, off policy.Decision) {
	if on.Action == policy.Ask && off.Required < on.Required {
		t.Fatalf("online %v, offline %v", on, off)
	}
	if on.Action == policy.Lock || on.Action == policy.Deny && on.Reason != latchkey.NotEnrolled {
		t.Fatalf("online %v, offline %v", on, off)
	}
	for _, k := range off.Kinds {
		if !slices.Contains(f.Policy.Factors.Offline, k) || !slices.Contains(f.Usable, k) {
			t.Fatalf("offline asks for %s, which the policy does not list or the machine cannot check", k)
		}
	}
	if len(off.Kinds) < max(1, f.Policy.Factors.Required) {
		t.Fatalf("offline asks for too little: %v", off)
	}
}

// TestEnforcedMachineNeverWaives: nobody enters an enforced machine without a
// factor but by a scenario that was switched off, or by trust or grace that
// the administrator allowed there.
func TestEnforcedMachineNeverWaives(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := facts(t)
		f.Machine.Settings.Mode = latchkey.Enforce
		f.Offline = rapid.Bool().Draw(t, "is offline")
		d := policy.Decide(f)
		if !d.Outcome().Enters() || d.Reason == latchkey.ScenarioOff || d.Reason == latchkey.Grace {
			return
		}
		if d.Reason == latchkey.Trusted && f.Machine.Settings.TrustOnEnforced {
			return
		}
		t.Fatalf("enforced machine: %v", d)
	})
}

// TestHardDenials: no setting, ticket or trial lets a removed machine, an
// unclear identity or a disabled account in.
func TestHardDenials(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := facts(t)
		f.Offline = rapid.Bool().Draw(t, "is offline")
		if !f.Machine.Removed && !f.User.Ambiguous && !f.User.Disabled {
			return
		}
		if d := policy.Decide(f); d.Action != policy.Deny || d.Emergency || d.Bypass {
			t.Fatalf("%v", d)
		}
	})
}
