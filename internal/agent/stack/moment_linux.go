package stack

import (
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Now reads the clocks. A clock that cannot be read is an error, for a revert
// must not wait on it.
func Now() (Moment, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return Moment{}, fmt.Errorf("reading the boot clock: %w", err)
	}
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return Moment{}, fmt.Errorf("reading the boot id: %w", err)
	}
	return Moment{Wall: time.Now(), Boot: time.Duration(ts.Nano()), ID: strings.TrimSpace(string(id))}, nil
}
