//go:build testclock

package clock

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// File is the environment variable that names the file with the offsets:
// "WALL [BOOT]" in decimal seconds, read at each reading of a clock.
const File = "LATCHKEY_TEST_CLOCK"

// offsets panics on a file that cannot be read or understood: a test with a
// clock that stands elsewhere than it says proves nothing.
func offsets() (wall, boot time.Duration) {
	name := os.Getenv(File)
	if name == "" {
		return 0, 0
	}
	text, err := os.ReadFile(name)
	if err != nil {
		panic(fmt.Sprintf("test clock: %v", err))
	}
	wall, boot, err = parse(string(text))
	if err != nil {
		panic(fmt.Sprintf("test clock: %v", err))
	}
	return wall, boot
}

func parse(text string) (wall, boot time.Duration, err error) {
	fields := strings.Fields(text)
	if len(fields) < 1 || len(fields) > 2 {
		return 0, 0, fmt.Errorf("%q is not WALL [BOOT]", text)
	}
	var out [2]time.Duration
	for i, f := range fields {
		s, err := strconv.ParseFloat(f, 64)
		if err != nil || s != s || s > 1e10 || s < -1e10 {
			return 0, 0, fmt.Errorf("%q is not a number of seconds", f)
		}
		out[i] = time.Duration(s * float64(time.Second))
	}
	return out[0], out[1], nil
}
