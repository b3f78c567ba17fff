package vault

import (
	"testing"
	"time"
)

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

func read(wall time.Time, boot time.Duration, id string) Reading {
	return Reading{Wall: wall, Boot: boot, BootID: id}
}

const day = 24 * time.Hour

func TestTheTimeThatDecisionsGoBy(t *testing.T) {
	t.Parallel()
	signed := clockState{}.sign(noon, read(noon, time.Hour, "a"))
	for name, tc := range map[string]struct {
		state  clockState
		now    Reading
		want   time.Time
		behind bool
	}{
		"a machine that never heard a signed time goes by its clock": {clockState{}, read(noon, time.Hour, "a"), noon, false},
		"within the boot of the contact the clock does not count":    {signed, read(noon.Add(2*day), 2*time.Hour, "a"), noon.Add(time.Hour), false},
		"nor does a clock that was set back":                         {signed, read(noon.Add(-2*day), 2*time.Hour, "a"), noon.Add(time.Hour), false},
		"D08 three days of suspension have gone by":                  {signed, read(noon, time.Hour+3*day, "a"), noon.Add(3 * day), false},
		"after a reboot the clock counts":                            {signed, read(noon.Add(2*day), time.Minute, "b"), noon.Add(2 * day), false},
		"but never below what is proven":                             {signed, read(noon.Add(-time.Minute), time.Second, "b"), noon.Add(time.Second), false},
		"a clock far behind is noticed":                              {signed, read(noon.Add(-3*time.Minute), 0, "b"), noon, true},
		"a dead clock is noticed":                                    {signed, read(time.Unix(0, 0), time.Minute, "b"), noon.Add(time.Minute), true},
		"running time counts below the floor":                        {signed, read(noon, 10*time.Minute, "b"), noon.Add(10 * time.Minute), true},
		"two minutes behind are borne":                               {signed, read(noon.Add(-Behind), 0, "b"), noon, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			now, behind := tc.state.now(tc.now)
			if !now.Equal(tc.want) || behind != tc.behind {
				t.Errorf("now %v, behind %v; want %v, %v", now, behind, tc.want, tc.behind)
			}
		})
	}
}

func TestD05AClockThatJumpsAheadAndBackLocksNobodyOut(t *testing.T) {
	t.Parallel()
	c := clockState{}.sign(noon, read(noon, time.Hour, "a"))
	c = c.advance(read(noon.Add(2*day), time.Minute, "b")) // two days ahead, nobody proved it
	now, behind := c.now(read(noon.Add(3*time.Minute), 3*time.Minute, "b"))
	if behind || now.After(noon.Add(4*time.Minute)) {
		t.Errorf("after setting it right: %v, behind %v", now, behind)
	}
}

func TestOnlyProofMovesTheFloorAhead(t *testing.T) {
	t.Parallel()
	later := read(noon.Add(2*day), time.Minute, "b")
	c := clockState{}.sign(noon, read(noon, time.Hour, "a")).prove(noon.Add(2*day), later)
	if _, behind := c.now(read(noon, 2*time.Minute, "b")); !behind {
		t.Error("set back behind a code that was accepted, and not noticed")
	}
	if now, _ := c.now(read(noon, time.Hour, "b")); now.Before(noon.Add(2*day + 58*time.Minute)) {
		t.Errorf("time since the proof is not counted: %v", now)
	}
}

func TestOnlySignedTimeLowersTheFloor(t *testing.T) {
	t.Parallel()
	r := read(noon, time.Minute, "b")
	c := clockState{}.sign(noon.Add(9*day), r)
	if low := c.prove(noon, r); low.At < c.At {
		t.Error("a code has lowered the floor")
	}
	if low := c.advance(read(noon, 0, "c")); low.At < c.At {
		t.Error("a reading has lowered the floor")
	}
	if now, behind := c.sign(noon, r).now(r); behind || !now.Equal(noon) {
		t.Errorf("signed time: %v, behind %v", now, behind)
	}
}

func TestAnAnswerThatWasLongInComingDoesNotSetTheClockBack(t *testing.T) {
	t.Parallel()
	signed := clockState{}.sign(noon, read(noon, time.Hour, "a"))
	later := func(boot string) Reading { return read(noon.Add(-day), time.Hour+time.Minute, boot) } // it is 12:01
	for name, tc := range map[string]struct {
		at     time.Duration // after noon, by the server's clock
		flight time.Duration
		boot   string
		want   time.Duration
	}{
		"signed at once, half a minute on its way":   {30 * time.Second, 30 * time.Second, "a", time.Minute},
		"half a minute on its way, then signed":      {time.Minute, 30 * time.Second, "a", time.Minute},
		"somewhere on its way":                       {45 * time.Second, 30 * time.Second, "a", time.Minute},
		"the clock was slow":                         {65 * time.Second, time.Second, "a", 65 * time.Second},
		"the clock was fast":                         {50 * time.Second, time.Second, "a", 51 * time.Second},
		"D05 the server's own clock was set right":   {-time.Hour, 0, "a", -time.Hour},
		"in another boot nothing is known of before": {30 * time.Second, 30 * time.Second, "b", 30 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := later(tc.boot)
			c := signed.hear(moment{noon.Add(tc.at), r, tc.flight})
			if now, _ := c.now(r); !now.Equal(noon.Add(tc.want)) || !c.exact(r) || c.Signed != noon.Add(tc.at).UnixMilli() {
				t.Errorf("it is %v, exact %v, signed %v", now.Sub(noon), c.exact(r), time.UnixMilli(c.Signed))
			}
		})
	}
}

func TestTheFloorGrowsOverReboots(t *testing.T) {
	t.Parallel()
	c := clockState{}.sign(noon, read(noon, 0, "a"))
	c = c.advance(read(noon, 5*time.Hour, "a"))            // ran five hours after the contact
	c = c.advance(read(time.Unix(0, 0), 3*time.Hour, "b")) // and three more with a dead clock
	now, behind := c.now(read(time.Unix(0, 0), 0, "c"))
	if !behind || !now.Equal(noon.Add(8*time.Hour)) {
		t.Errorf("now %v, behind %v", now, behind)
	}
}
