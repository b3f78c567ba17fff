package latchkey

import (
	"strconv"
	"sync"
	"time"
)

// A Pace bounds how many events of one kind each machine can cause in an hour,
// and each source on it. Whoever is root on a machine could otherwise push the
// rest of the audit trail out of sight, and any user of it what happens there to
// others. What is left out is counted, and the count is told: at the first one,
// at ten, a hundred and so on, and at the first after the hour.
//
// Root can speak for everybody, so that there is a ceiling for all sources of a
// machine together. The first event of a source in its hour is written above it
// too: nobody's trace is lost to what others do.
//
// It keeps a few words for every machine, and for up to MaxSources sources of
// each, for an hour, and a day where some were left out. It forgets them when the
// program ends. It is safe for concurrent use.
type Pace struct {
	PerHour    int    // events of one source; 0 leaves every one out
	PerMachine int    // events of all its sources; the first of each is written above it
	What       string // they are, for the trail

	mu       sync.Mutex
	swept    time.Time
	machines map[MachineID]*machinePace
}

// MaxSources is how many sources of a machine are told apart within an hour.
// Those beyond count as one, which is nobody's.
const MaxSources = 1000

// A Source is who on a machine causes events.
type Source struct {
	User UserID // whoever they are about; empty where nobody knows him
	Own  bool   // the user's own programs, not root's
}

type machinePace struct {
	all     hour
	sources map[Source]*hour
}

type hour struct {
	began   time.Time
	count   int
	leftOut int
}

// over reports whether an hour is over, or the clock was set back.
func (h *hour) over(now time.Time) bool {
	age := now.Sub(h.began)
	return age >= time.Hour || age < 0
}

// Take counts an event of a source on a machine. write says whether it belongs
// into the trail; told, where it is not nil, is an event that says how many were
// left out: Host and UserName are the caller's to fill in.
func (p *Pace) Take(machine MachineID, s Source, now time.Time) (write bool, told *Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sweep(now)
	m := p.machine(machine, now)
	s, h := m.source(s, now)
	if h.over(now) {
		if h.leftOut > 0 {
			told = p.tell(machine, s, h, now)
		}
		*h = hour{began: now}
	}
	if h.count < p.PerHour && (h.count == 0 || m.all.count < p.PerMachine) {
		h.count++
		m.all.count++
		return true, told
	}
	h.leftOut++
	if powerOfTen(h.leftOut) {
		told = p.tell(machine, s, h, now)
	}
	return false, told
}

func (p *Pace) machine(id MachineID, now time.Time) *machinePace {
	if p.machines == nil {
		p.machines = map[MachineID]*machinePace{}
	}
	m := p.machines[id]
	if m == nil {
		m = &machinePace{all: hour{began: now}, sources: map[Source]*hour{}}
		p.machines[id] = m
	}
	if m.all.over(now) {
		m.all = hour{began: now}
	}
	return m
}

// source returns the hour of a source, and as what it counts.
func (m *machinePace) source(s Source, now time.Time) (Source, *hour) {
	if m.sources[s] == nil && len(m.sources) >= MaxSources {
		s = Source{}
	}
	if m.sources[s] == nil {
		m.sources[s] = &hour{began: now}
	}
	return s, m.sources[s]
}

// sweep forgets, once an hour, what no event will ask for.
func (p *Pace) sweep(now time.Time) {
	if h := (hour{began: p.swept}); !h.over(now) {
		return
	}
	p.swept = now
	for id, m := range p.machines {
		for s, h := range m.sources {
			if h.over(now) && (h.leftOut == 0 || now.Sub(h.began) >= 24*time.Hour) {
				delete(m.sources, s)
			}
		}
		if len(m.sources) == 0 && m.all.over(now) {
			delete(p.machines, id)
		}
	}
}

func (p *Pace) tell(m MachineID, s Source, h *hour, now time.Time) *Event {
	return &Event{Time: now, Kind: EventsLeftOut, Machine: m, User: s.User, Detail: map[string]string{
		"what": p.What, "left_out": strconv.Itoa(h.leftOut), "since": h.began.UTC().Format(time.RFC3339),
	}}
}

func powerOfTen(n int) bool {
	for n > 1 && n%10 == 0 {
		n /= 10
	}
	return n == 1
}
