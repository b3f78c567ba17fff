package vault

import "testing"

func TestAnAgentThatIsTooOldDecidesNothing(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		have, least string
		old         bool
	}{
		{"1.2.3", "", false}, {"1.2.3", "0", false}, {"1.2.3", "1.2.3", false}, {"v1.2.3", "1.2", false},
		{"1.2.3-rc1", "1.2.3", false}, {"1.10.0", "1.9.9", false}, {"2.0.0", "1.9.9", false},
		{"1.2.3", "1.2.4", true}, {"1.9.9", "1.10", true}, {"1.2.3", "2", true},
		{"", "1", true}, {"devel", "1", true}, {"1.2.3", "x", true}, {"1.2.3.4", "1", true}, {"1.2.3", "-1", true},
	} {
		if got := oldAgent(tc.have, tc.least); got != tc.old {
			t.Errorf("%q where %q is asked for: %v", tc.have, tc.least, got)
		}
	}
}
