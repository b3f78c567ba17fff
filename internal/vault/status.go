package vault

import (
	"slices"
	"time"

	"latchkey"
	"latchkey/internal/verify"
)

// A Status is what a machine could do alone now.
type Status struct {
	Generation uint64
	Corrupt    bool      // the ledger was lost: offline logins wait for the next contact
	Removed    bool      // the server removed this machine
	Now        time.Time // the time that decisions go by
	Behind     bool      // the wall clock stands before what is proven
	SignedAt   time.Time // last time that the server said; zero for never
	Pending    int       // events that the server has not acknowledged
	Lost       uint64    // events that a full ring overwrote before they were
	Settings   latchkey.MachineSettings
	// Signed: the settings are signed, not expired and not older than seen.
	// Otherwise the machine asks everybody.
	Signed bool
	Users  []UserStatus // in order of their names
}

// A UserStatus is what one user could do here alone.
type UserStatus struct {
	ID             latchkey.UserID
	User           string // his name; the id where no bundle can be read
	Enrolled       bool
	Left           *latchkey.Left // nil: no offline login
	Authenticators []latchkey.Kind
	Locked         bool            // by wrong answers or by the server
	Denied         latchkey.Reason // a lasting denial, or ""
}

// Status says what the machine could do alone now. It changes nothing.
func (v *Vault) Status() Status {
	v.mu.Lock()
	defer v.mu.Unlock()
	h, r := v.ledger.head, v.c.Clock()
	now, behind := h.Clock.now(r)
	st := Status{
		Generation: h.Generation, Corrupt: h.Corrupt == 1, Removed: h.Removed == 1, Now: now, Behind: behind,
		Pending: v.ledger.pending(), Lost: h.Ring.Lost, Signed: v.settingsHold(now),
	}
	if h.Clock.Signed > 0 {
		st.SignedAt = time.UnixMilli(h.Clock.Signed)
	}
	if v.settings != nil {
		st.Settings, st.Removed = v.settings.Settings, st.Removed || v.settings.Removed
	}
	for i := range v.ledger.users {
		if v.ledger.users[i].State == slotHeld {
			st.Users = append(st.Users, v.userStatus(&v.ledger.users[i], r, now))
		}
	}
	slices.SortFunc(st.Users, func(a, b UserStatus) int { return compareNames(a.User, b.User) })
	return st
}

func compareNames(a, b string) int {
	fa, fb := latchkey.FoldName(a), latchkey.FoldName(b)
	switch {
	case fa < fb:
		return -1
	case fa > fb:
		return 1
	}
	return 0
}

func (v *Vault) userStatus(r *record, reading Reading, now time.Time) UserStatus {
	u := UserStatus{ID: latchkey.UserID(r.User.String()), User: r.User.String()}
	s := &scene{reading: reading, now: now, record: r}
	s.entry, s.gone = v.open(u.ID, r.Version)
	f := v.facts(s)
	u.Enrolled, u.Locked = f.Local.Enrolled, f.Locked
	if r.Denial.holds(now) {
		u.Denied = latchkey.Reason(r.Denial.Reason.String())
	}
	if s.entry == nil {
		return u
	}
	u.User, u.Authenticators = s.entry.Name, verify.Kinds(s.credentials())
	if u.Enrolled {
		u.Left = v.left(s)
	}
	return u
}

// pending is how many events the server has not acknowledged.
func (l *ledger) pending() int { return int(l.head.Ring.Next - l.head.Ring.first(l.shape)) }

// unreported reports whether the server may not know all that happened here.
func (v *Vault) unreported() bool { return v.ledger.pending() > 0 }
