package vault

import (
	"slices"
	"time"

	"latchkey"
	"latchkey/internal/policy"
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
	Left           *latchkey.Left  // what he can still do; nil: no offline login
	Authenticators []latchkey.Kind // that he could log in with now
	Tokens         []TokenCodes
	Ready          bool            // a login at the console would ask him, or let him in
	Why            string          // he is not: what he would read
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
			st.Users = append(st.Users, v.userStatus(&v.ledger.users[i], r, now, behind))
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

func (v *Vault) userStatus(r *record, reading Reading, now time.Time, behind bool) UserStatus {
	u := UserStatus{ID: latchkey.UserID(r.User.String()), User: r.User.String()}
	s := &scene{logon: latchkey.Logon{Scenario: latchkey.Console}, reading: reading, now: now, behind: behind, record: r}
	s.entry, s.gone = v.open(u.ID, r.Version)
	s.facts = v.facts(s)
	s.facts.Trust, s.facts.Grace = false, false // they end with a restart
	s.decided = policy.Decide(s.facts)
	u.Ready, u.Why = v.ready(s)
	u.Enrolled, u.Locked = s.facts.Local.Enrolled, s.facts.Locked
	if r.Denial.holds(now) {
		u.Denied = latchkey.Reason(r.Denial.Reason.String())
	}
	if s.entry == nil {
		return u
	}
	u.User, u.Tokens = s.entry.Name, s.tokens()
	u.Authenticators = slices.DeleteFunc(verify.Kinds(s.credentials()), func(k latchkey.Kind) bool {
		return k == latchkey.HOTP && s.facts.Local.TokenUsedUp
	})
	if u.Enrolled {
		u.Left = v.remaining(s)
	}
	return u
}

// ready reports whether a login would ask the user or let him in, and what he
// would read where it does not.
func (v *Vault) ready(s *scene) (bool, string) {
	if d := s.decided; d.Action == policy.Ask || d.Outcome().Enters() {
		return true, ""
	}
	return false, v.end(s, s.verdict()).Verdict.Text
}

// pending is how many events the server has not acknowledged.
func (l *ledger) pending() int { return int(l.head.Ring.Next - l.head.Ring.first(l.shape)) }

// unreported reports whether the server may not know all that happened here.
func (v *Vault) unreported() bool { return v.ledger.pending() > 0 }
