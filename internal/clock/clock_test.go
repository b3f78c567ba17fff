package clock

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

func TestTheClocksRun(t *testing.T) {
	t.Parallel()
	c := System()
	if d := time.Since(c.Now()); d < -time.Second || d > time.Minute {
		t.Errorf("the wall clock is %s off", d)
	}
	first, err := c.Boottime()
	if err != nil || first < 0 {
		t.Fatalf("%s, %v", first, err)
	}
	second, err := c.Boottime()
	if err != nil || second < first {
		t.Errorf("%s after %s, %v", second, first, err)
	}
	a, err := c.BootID()
	if err != nil || a == "" {
		t.Fatal(err)
	}
	if b, _ := c.BootID(); a != b {
		t.Errorf("boot %s, then %s", a, b)
	}
}

// D12: the hook is not in a release, neither its name nor its effect; in a test
// build both are there, so the search can find it.
func TestD12AReleaseHasNoTestClock(t *testing.T) {
	t.Parallel()
	offset := filepath.Join(t.TempDir(), "offset")
	if err := os.WriteFile(offset, []byte("1000000"), 0o600); err != nil {
		t.Fatal(err)
	}
	for tags, moved := range map[string]bool{"": false, "testclock": true} {
		bin := filepath.Join(t.TempDir(), "clock")
		if out, err := exec.Command("go", "build", "-tags", tags, "-o", bin, "./testdata/now").CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		raw, err := os.ReadFile(bin)
		if err != nil {
			t.Fatal(err)
		}
		if found := bytes.Contains(raw, []byte("LATCHKEY_TEST_CLOCK")); found != moved {
			t.Errorf("tags %q: the hook's name is in the program: %v", tags, found)
		}
		cmd := exec.Command(bin)
		cmd.Env = append(os.Environ(), "LATCHKEY_TEST_CLOCK="+offset)
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		seconds, err := strconv.ParseInt(string(bytes.TrimSpace(out)), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		if ahead := seconds > time.Now().Unix()+500_000; ahead != moved {
			t.Errorf("tags %q: the clock is moved: %v", tags, !moved)
		}
	}
}
