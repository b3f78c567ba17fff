package latchkey_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"latchkey"
)

func TestAPaceCountsWhatItLeavesOut(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	p := latchkey.Pace{PerHour: 3, PerMachine: 5, What: "things"}
	written, told := 0, []string{}
	take := func(m latchkey.MachineID, n int) {
		for range n {
			write, e := p.Take(m, latchkey.Source{}, now)
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
	if write, _ := zero.Take("a", latchkey.Source{}, now); write {
		t.Error("the zero pace writes")
	}
}

// Whoever else writes as much as they can: the first of everybody is written,
// and what is left out is told of whom it is.
func TestAPaceIsOfEverySourceAndItsFirstIsWritten(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	p := latchkey.Pace{PerHour: 3, PerMachine: 5, What: "things"}
	take := func(s latchkey.Source, n int) (written int, told *latchkey.Event) {
		for range n {
			write, e := p.Take("a", s, now)
			if write {
				written++
			}
			if e != nil {
				told = e
			}
		}
		return written, told
	}
	for _, step := range []struct {
		source    latchkey.Source
		n, want   int
		toldUser  latchkey.UserID
		toldCount string
	}{
		{source: latchkey.Source{User: "bob"}, n: 20, want: 3, toldUser: "bob", toldCount: "10"},
		{source: latchkey.Source{User: "ana"}, n: 2, want: 2},
		{source: latchkey.Source{User: "ana"}, n: 1, want: 0, toldUser: "ana", toldCount: "1"}, // the machine's five are spent
		{source: latchkey.Source{User: "ana", Own: true}, n: 1, want: 1},
		{source: latchkey.Source{User: "eva"}, n: 2, want: 1, toldUser: "eva", toldCount: "1"},
	} {
		written, told := take(step.source, step.n)
		if written != step.want || (told == nil) != (step.toldCount == "") {
			t.Errorf("%+v: %d written, told %+v", step, written, told)
		}
		if told != nil && (told.User != step.toldUser || told.Machine != "a" || told.Detail["left_out"] != step.toldCount) {
			t.Errorf("%+v: told %+v", step, told)
		}
	}
	now = now.Add(time.Hour)
	if written, _ := take(latchkey.Source{User: "ana"}, 4); written != 3 {
		t.Errorf("an hour later %d written", written)
	}
}

// Names without end take no memory without end, and nobody's place is theirs
// when the hour is over.
func TestAPaceTellsSoManySourcesApart(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	p := latchkey.Pace{PerHour: 1, PerMachine: 1 << 30, What: "things"}
	take := func(user string) (bool, *latchkey.Event) {
		return p.Take("a", latchkey.Source{User: latchkey.UserID(user)}, now)
	}
	for n := range latchkey.MaxSources {
		if write, _ := take(fmt.Sprint(n)); !write {
			t.Fatalf("source %d is left out", n)
		}
	}
	if write, _ := take("one more"); !write {
		t.Error("those beyond have no line at all")
	}
	if write, told := take("and another"); write || told == nil || told.User != "" {
		t.Errorf("one that is not told apart: %v, told %+v", write, told)
	}
	now = now.Add(time.Hour)
	if write, told := take("and another"); !write || told != nil {
		t.Errorf("an hour later: %v, told %+v", write, told)
	}
}
