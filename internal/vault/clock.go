package vault

import (
	"crypto/sha256"
	"time"
)

// Behind is how far the wall clock may stand before the proven time before
// codes of an app are refused.
const Behind = 120 * time.Second

// A clockState is what the ledger knows about time: at Boottime of the boot
// Boot it was At. After contact with the server that is exact; else it is the
// least that it can have been.
type clockState struct {
	At       int64 // Unix milliseconds; 0: nothing is known
	Boot     tag16
	Boottime int64 // nanoseconds since that boot
	Exact    uint8 // 1: At was signed by the server, or grew from that within the boot
	Signed   int64 // last signed time, Unix milliseconds
}

// bootTag is the fixed-size name of a boot.
func bootTag(id string) (tag tag16) {
	sum := sha256.Sum256([]byte(id))
	copy(tag[:], sum[:])
	return tag
}

// least is the earliest that it can be now: what is proven, plus the time that
// the machine has been running since. Time before this boot is not known, so
// of an earlier boot's proof only this boot's own time is added.
func (c clockState) least(r Reading) time.Time {
	run := r.Boot
	if c.Boot == bootTag(r.BootID) {
		run -= time.Duration(c.Boottime)
	}
	return time.UnixMilli(c.At).Add(max(0, run))
}

// exact reports whether the time is signed and grew within this boot.
func (c clockState) exact(r Reading) bool {
	return c.Exact == 1 && c.Boot == bootTag(r.BootID)
}

// now is the time to decide by. Within the boot of a contact the wall clock
// does not count; after it the wall clock counts, but never below what is
// proven. behind: the wall clock stands more than Behind before that, so codes
// of an app cannot be checked.
func (c clockState) now(r Reading) (now time.Time, behind bool) {
	if c.At == 0 {
		return r.Wall, false // a machine that never heard a signed time has nothing but its clock
	}
	least := c.least(r)
	if c.exact(r) {
		return least, false
	}
	if r.Wall.After(least) {
		return r.Wall, false
	}
	return least, r.Wall.Before(least.Add(-Behind))
}

// advance carries the proof forward to this reading. A wall clock that jumped
// ahead proves nothing and is not carried: set right again, it locks nobody out.
func (c clockState) advance(r Reading) clockState {
	if c.At == 0 {
		return c
	}
	at, exact := c.least(r), c.exact(r)
	c.At, c.Boot, c.Boottime, c.Exact = at.UnixMilli(), bootTag(r.BootID), int64(r.Boot), 0
	if exact {
		c.Exact = 1
	}
	return c
}

// sign takes over a signed time. It is the one thing that may lower the floor.
func (c clockState) sign(at time.Time, r Reading) clockState {
	return clockState{
		At: at.UnixMilli(), Boot: bootTag(r.BootID), Boottime: int64(r.Boot),
		Exact: 1, Signed: at.UnixMilli(),
	}
}

// hear takes over the signed time of an answer, which was signed somewhere on
// its way. A clock that is exact and says a time within that way stays: an
// answer that was long in coming would set it back by as much.
func (c clockState) hear(m moment) clockState {
	at := m.at
	if c.exact(m.r) {
		at = earliest(latest(c.least(m.r), m.at), m.at.Add(m.flight))
	}
	c = c.sign(at, m.r)
	c.Signed = m.at.UnixMilli()
	return c
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earliest(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// prove takes over the time of an accepted code of an app: only its owner's
// phone can have known it.
func (c clockState) prove(at time.Time, r Reading) clockState {
	c = c.advance(r)
	if c.exact(r) || at.UnixMilli() <= c.At {
		return c
	}
	c.At, c.Boot, c.Boottime, c.Exact = at.UnixMilli(), bootTag(r.BootID), int64(r.Boot), 0
	return c
}
