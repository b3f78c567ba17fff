package main

import "latchkey/internal/clock"

// now is the clock of every verb: in programs built with -tags testclock the
// server and its administrator live in the same moved time.
var now = clock.System().Now
