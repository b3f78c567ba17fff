package agent

import (
	"strconv"
	"sync"
	"time"

	"latchkey"
)

// The life of a proof.
const (
	proofLife = 10 * time.Minute // of time since boot
	maxProofs = 1024             // the oldest go first
)

// proofs remember who was let in a moment ago, so that the account phase of the
// same login need not ask again. They are in memory only: a restart in between
// costs one login, never a factor.
type proofs struct {
	mu    sync.Mutex
	order []proof
}

type proof struct {
	event, who, service string
	at                  time.Duration
}

func subject(l latchkey.Logon) string {
	if l.UID != nil {
		return "uid " + strconv.FormatUint(uint64(*l.UID), 10)
	}
	return "name " + latchkey.FoldName(l.User)
}

// keep remembers a login that was let in; its id is the proof.
func (p *proofs) keep(l latchkey.Logon, boot time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.order) >= maxProofs {
		p.order = append(p.order[:0], p.order[1:]...)
	}
	p.order = append(p.order, proof{l.ID, subject(l), l.Service, boot})
}

// spend reports whether event is the proof of the same user at the same
// service, and forgets it.
func (p *proofs) spend(event string, l latchkey.Logon, boot time.Duration) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, have := range p.order {
		if event == "" || have.event != event {
			continue
		}
		p.order = append(p.order[:i], p.order[i+1:]...)
		return have.who == subject(l) && have.service == l.Service && boot-have.at <= proofLife
	}
	return false
}
