package policy_test

import (
	"testing"

	"latchkey"
	"latchkey/internal/policy"
)

func TestE07HowManyCodesATravellerNeeds(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ logins, days, variance, codes int }{
		{15, 3, 20, 54}, {20, 5, 20, 120}, {15, 7, 20, 126}, {1, 1, 0, 1}, {1, 1, 1, 2}, {3, 1, 33, 4}, {829, 1, 20, 995},
	} {
		got, err := policy.PlanToken(tc.logins, tc.days, tc.variance)
		if err != nil || got.Codes != tc.codes || got.Quota != tc.codes || got.Window != tc.codes+5 || got.Buffer != 5 || got.TooLarge {
			t.Errorf("%d × %d + %d %%: %+v, %v; want %d", tc.logins, tc.days, tc.variance, got, err, tc.codes)
		}
	}
	if got, err := policy.PlanToken(830, 1, 20); err != nil || got.Codes != 996 || !got.TooLarge {
		t.Errorf("past the greatest window: %+v, %v", got, err)
	}
	for _, tc := range [][4]int{{500, 7, 1, 118}, {50, 30, 16, 27}, {5000, 1, 0, 829}, {1, 10_000, 829, 0}} {
		got, err := policy.PlanToken(tc[0], tc[1], 20)
		if err != nil || !got.TooLarge || got.MostDays != tc[2] || got.MostLogins != tc[3] {
			t.Errorf("%v: %+v, %v", tc, got, err)
		}
		for _, fits := range [][2]int{{tc[0], tc[2]}, {tc[3], tc[1]}} {
			if fits[0] == 0 || fits[1] == 0 {
				continue
			}
			if got, err := policy.PlanToken(fits[0], fits[1], 20); err != nil || got.TooLarge {
				t.Errorf("the most that fits, %v, is %+v, %v", fits, got, err)
			}
		}
	}
	for _, bad := range [][3]int{{0, 3, 20}, {15, 0, 20}, {15, 3, -1}, {-1, 3, 20}, {1 << 40, 1 << 40, 20}, {15, 3, 1 << 40}} {
		if got, err := policy.PlanToken(bad[0], bad[1], bad[2]); latchkey.CodeOf(err) != latchkey.Invalid {
			t.Errorf("%v: %+v, %v", bad, got, err)
		}
	}
}

// E10: what the calculator says is what Validate takes.
func TestE10TheCalculatorsSettingsArePolicy(t *testing.T) {
	t.Parallel()
	for logins := 1; logins < 900; logins += 13 {
		plan, err := policy.PlanToken(logins, 1, 20)
		if err != nil {
			t.Fatal(err)
		}
		p := latchkey.BuiltinPolicy()
		p.HOTP = latchkey.HOTPRules{Window: plan.Window, Buffer: plan.Buffer, Quota: &plan.Quota}
		if err := policy.Validate(p); (err != nil) != plan.TooLarge {
			t.Errorf("%+v: %v", plan, err)
		}
		if got := p.OfflineQuota(); got != plan.Codes {
			t.Errorf("%+v hands out %d", plan, got)
		}
	}
}

func TestHowFarAheadTheServerSearches(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		window       int
		next, handed uint64
		want         int
	}{
		"nothing was handed out":      {35, 100, 0, 35},
		"the default quota":           {35, 100, 130, 40},
		"a larger book than now":      {35, 100, 220, 130},
		"all of it is used":           {35, 130, 130, 35},
		"passed long ago":             {35, 500, 130, 35},
		"never further than a window": {1000, 100, 1095, 1000},
		"however much was handed out": {35, 0, 1 << 62, 1000},
		"no window":                   {0, 100, 0, 0},
	} {
		if got := policy.LookAhead(latchkey.HOTPRules{Window: tc.window}, tc.next, tc.handed); got != tc.want {
			t.Errorf("%s: %d, want %d", name, got, tc.want)
		}
	}
}
