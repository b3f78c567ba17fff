//go:build testclock

package clock

import (
	"testing"
	"time"
)

func TestOffsetsAreReadStrictly(t *testing.T) {
	for text, want := range map[string][2]time.Duration{
		"0":         {0, 0},
		"-90.5\n":   {-90*time.Second - 500*time.Millisecond, 0},
		"86400 60":  {24 * time.Hour, time.Minute},
		"1e3 0.001": {1000 * time.Second, time.Millisecond},
	} {
		wall, boot, err := parse(text)
		if err != nil || wall != want[0] || boot != want[1] {
			t.Errorf("%q: %s %s %v", text, wall, boot, err)
		}
	}
	for _, text := range []string{"", "x", "1 2 3", "NaN", "Inf", "1e300"} {
		if _, _, err := parse(text); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}
