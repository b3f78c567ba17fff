// Package clock reads the system's clocks: the wall clock, and the time since
// boot, which goes on during suspend and which nobody can set.
//
// It refuses to correct either: what a reading is worth is for its callers to
// judge. Programs built with the tag testclock add offsets from a file; in
// others the code for that does not exist.
package clock

import "time"

// A Clock reads the system's clocks.
type Clock struct{}

// System returns the system's clocks.
func System() Clock { return Clock{} }

// Now is the wall clock, without a monotonic part: comparisons are of what is
// stored and signed.
func (Clock) Now() time.Time {
	wall, _ := offsets()
	return time.Now().Round(0).Add(wall)
}

// Boottime is the time since boot, suspend included. It never goes back before
// the next boot.
func (Clock) Boottime() (time.Duration, error) {
	d, err := boottime()
	_, boot := offsets()
	return d + boot, err
}

// BootID names the current boot: another value means that the machine was
// started again, or that Boottime cannot be compared.
func (Clock) BootID() (string, error) { return bootID() }
