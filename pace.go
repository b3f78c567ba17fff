package latchkey

import (
	"strconv"
	"sync"
	"time"
)

// A Pace bounds how many events of one kind each machine can cause in an hour.
// Whoever is root on a machine could otherwise push the rest of the audit trail
// out of sight. What is left out is counted, and the count is told: at the first
// one, at ten, a hundred and so on, and when the hour is over.
//
// It keeps a few words for every machine that has caused any, and forgets them
// when the program ends. It is safe for concurrent use.
type Pace struct {
	PerHour int    // events; 0 leaves every one out
	What    string // they are, for the trail

	mu       sync.Mutex
	machines map[MachineID]*hour
}

type hour struct {
	began   time.Time
	count   int
	leftOut int
}

// Take counts an event of a machine. write says whether it belongs into the
// trail; told, where it is not nil, is an event that says how many were left
// out: Machine and Host are the caller's to fill in.
func (p *Pace) Take(m MachineID, now time.Time) (write bool, told *Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.machines[m]
	if h == nil {
		if p.machines == nil {
			p.machines = map[MachineID]*hour{}
		}
		h = &hour{began: now}
		p.machines[m] = h
	}
	if age := now.Sub(h.began); age >= time.Hour || age < 0 {
		if h.leftOut > 0 {
			told = p.tell(h, now)
		}
		*h = hour{began: now}
	}
	if h.count < p.PerHour {
		h.count++
		return true, told
	}
	h.leftOut++
	if powerOfTen(h.leftOut) {
		told = p.tell(h, now)
	}
	return false, told
}

func (p *Pace) tell(h *hour, now time.Time) *Event {
	return &Event{Time: now, Kind: EventsLeftOut, Detail: map[string]string{
		"what": p.What, "left_out": strconv.Itoa(h.leftOut), "since": h.began.UTC().Format(time.RFC3339),
	}}
}

func powerOfTen(n int) bool {
	for n > 1 && n%10 == 0 {
		n /= 10
	}
	return n == 1
}
