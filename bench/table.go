//go:build linux

package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// A table is what the whole run prints: sections of rows. The ratio of a row
// is to the first row of its section, which was measured minutes before at
// most, on the same machine.
type table struct {
	out   io.Writer
	floor time.Duration // p50 of the section's first row; 0 where it has none yet
}

func (t *table) section(title string) {
	t.floor = 0
	fmt.Fprintf(t.out, "\n%s\n%-58s %6s %10s %10s %8s  %s\n", title, "", "n", "p50", "p99", "ratio", "")
}

// times prints a row of measured times.
func (t *table) times(what string, took []time.Duration, rest ...string) {
	slices.Sort(took)
	p50, p99 := quantile(took, 50), quantile(took, 99)
	if t.floor == 0 {
		t.floor = p50
	}
	ratio := float64(p50) / float64(max(t.floor, 1))
	fmt.Fprintf(t.out, "%-58s %6d %10s %10s %8.1f  %s\n", what, len(took), ms(p50), ms(p99), ratio, strings.Join(rest, ", "))
}

// value prints a row that is not a time.
func (t *table) value(what, format string, args ...any) {
	fmt.Fprintf(t.out, "%-58s %s\n", what, fmt.Sprintf(format, args...))
}

// quantile is the smallest time that percent of the sorted times do not exceed.
func quantile(sorted []time.Duration, percent int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, (len(sorted)*percent+99)/100-1)]
}

func ms(d time.Duration) string { return fmt.Sprintf("%.3f ms", d.Seconds()*1000) }
