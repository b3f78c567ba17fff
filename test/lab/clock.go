//go:build linux

package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// A Clock is what the testclock programs take for the time: the real one with
// offsets that tests move. Daemons re-read it at each look at the clock.
type Clock struct {
	tb         TB
	path       string
	wall, boot time.Duration
}

// Clock makes a clock that shows the right time. Programs given the same clock
// live in the same time; give two to let a machine's clock be wrong.
func (l *Lab) Clock(name string) *Clock {
	l.tb.Helper()
	c := &Clock{tb: l.tb, path: filepath.Join(l.dir, "clock-"+name)}
	c.write()
	return c
}

// Now returns the time that the clock shows.
func (c *Clock) Now() time.Time { return time.Now().Add(c.wall) }

// Pass lets time pass: wall clock and time since boot both go on by d.
func (c *Clock) Pass(d time.Duration) {
	c.tb.Helper()
	c.wall += d
	c.boot += d
	c.write()
}

// Set moves only the wall clock, as somebody who sets it would; d may be
// negative.
func (c *Clock) Set(d time.Duration) {
	c.tb.Helper()
	c.wall += d
	c.write()
}

// NextStep moves on to the beginning of the next time step, so that the code
// of the current one has been and gone.
func (c *Clock) NextStep(period time.Duration) {
	c.tb.Helper()
	now := c.Now()
	c.Pass(now.Truncate(period).Add(period).Sub(now))
}

// write replaces the file as a whole: a reader never sees half of it.
func (c *Clock) write() {
	c.tb.Helper()
	text := fmt.Sprintf("%.6f %.6f\n", c.wall.Seconds(), c.boot.Seconds())
	must(c.tb, os.WriteFile(c.path+".new", []byte(text), 0o644))
	must(c.tb, os.Rename(c.path+".new", c.path))
}
