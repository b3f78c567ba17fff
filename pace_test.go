package latchkey_test

import (
	"slices"
	"testing"
	"time"

	"latchkey"
)

func TestAPaceCountsWhatItLeavesOut(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	p := latchkey.Pace{PerHour: 3, What: "things"}
	written, told := 0, []string{}
	take := func(m latchkey.MachineID, n int) {
		for range n {
			write, e := p.Take(m, now)
			if write {
				written++
			}
			if e != nil {
				told = append(told, e.Detail["left_out"])
				if e.Kind != latchkey.EventsLeftOut || e.Detail["what"] != "things" || e.Detail["since"] != "2026-11-21T12:00:00Z" {
					t.Errorf("told %+v", e)
				}
			}
		}
	}
	take("a", 3)
	if written != 3 || len(told) != 0 {
		t.Errorf("%d written, told %v", written, told)
	}
	take("a", 150)
	if want := []string{"1", "10", "100"}; written != 3 || !slices.Equal(told, want) {
		t.Errorf("%d written, told %v", written, told)
	}
	take("b", 2) // another machine's pace is its own
	if written != 5 {
		t.Errorf("%d written", written)
	}
	now = now.Add(time.Hour)
	take("a", 1)
	if want := []string{"1", "10", "100", "150"}; written != 6 || !slices.Equal(told, want) {
		t.Errorf("an hour later %d written, told %v", written, told)
	}
	var zero latchkey.Pace
	if write, _ := zero.Take("a", now); write {
		t.Error("the zero pace writes")
	}
}
