package fleet

import (
	"fmt"
	"time"

	"latchkey"
	"latchkey/internal/policy"
)

// afterRestore is how long a machine that was told more than the database knows
// may still speak of what it was told. Its books are made anew at its first
// contact; what it used of the old ones is in the reports of that day.
const afterRestore = 24 * time.Hour

// remember takes down that the machine holds settings which this deployment
// signed and the database knows nothing of: the database went back, and events
// and counters of the machine are lost. It is not the machine's doing.
func (j *judge) remember() {
	if j.ledger.Version == 0 || j.merger.Proven <= j.ledger.Version {
		return
	}
	j.merger.Ahead = true
	j.incident("the machine was told more than the database knows: a backup was put in its place",
		"version", fmt.Sprintf("%d after %d", j.merger.Proven, j.ledger.Version))
}

// restored reports whether the machine may speak of what the database has
// forgotten.
func (j *judge) restored() bool {
	return j.merger.Ahead || j.now.Before(j.ledger.AheadAt.Add(afterRestore))
}

// beyond records what an honest machine says only where the database has
// forgotten: else it is a lie.
func (j *judge) beyond(m *Member, what string, detail ...string) {
	if j.restored() {
		j.incidentOf(m, what, detail...)
		return
	}
	j.suspectOf(m, what, detail...)
}

// holdsBeyond is beyond for what the machine says at each contact.
func (j *judge) holdsBeyond(m *Member, thing, what string, detail ...string) error {
	if j.restored() {
		return j.once(m, thing, what, detail...)
	}
	j.suspectOf(m, what, detail...)
	return nil
}

// catchesUp: the machine may have been handed as many more codes of a token as
// there are in the widest window. It shows that the database went back, or showed
// it before an administrator approved of it.
func (j *judge) catchesUp(t *Token) bool {
	return t.Kind == latchkey.HOTP && (j.merger.Ahead || j.ledger.FloorsDue && j.restored())
}

// issued is the first step or counter that the machine cannot know a code of.
func (j *judge) issued(t *Token, at time.Time) uint64 {
	if j.catchesUp(t) {
		return max(t.issued(at), t.Next+policy.MaxWindow)
	}
	return t.issued(at)
}

// bound is how far the machine may raise the floor.
func (j *judge) bound(t *Token) uint64 {
	if j.catchesUp(t) {
		return j.issued(t, j.now)
	}
	return t.bound(j.now)
}
