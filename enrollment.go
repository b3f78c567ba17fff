package latchkey

import (
	"slices"
	"time"
)

// An Enrollment lets one user log in offline on one machine.
type Enrollment struct {
	User       UserID
	Machine    MachineID
	EnrolledAt time.Time
	LastSynced time.Time // last time the machine fetched or confirmed the bundle
	Anchor     time.Time // last online MFA of the user on the machine
	Uses       int       // offline logins reported since Anchor
	Version    uint64    // version of the bundle issued last
	Acked      uint64    // version the machine said it holds
	Removed    bool      // disenrolled, kept until the machine has wiped it
	Issued     *Holding  // what version Version gives; nil: an older server made it
	Holds      *Holding  // what the newest version gives that was current when the machine confirmed it
}

// A Holding is what a machine was issued for a user: all that it can check of
// his alone. The zero Holding lets nobody in.
type Holding struct {
	Until    time.Time   `json:"until"`    // the last instant of offline use
	Counted  bool        `json:"counted"`  // logins are counted
	Logins   int         `json:"logins"`   // allowed, where Counted
	Required int         `json:"required"` // different kinds that a login takes
	Tokens   []HeldToken `json:"tokens"`
}

// Kinds are the different kinds that the machine can check.
func (h Holding) Kinds() []Kind {
	var out []Kind
	for _, t := range h.Tokens {
		if !slices.Contains(out, t.Kind) {
			out = append(out, t.Kind)
		}
	}
	return out
}

// Holds reports whether an authenticator is among them.
func (h Holding) Holds(id AuthenticatorID) bool {
	return slices.ContainsFunc(h.Tokens, func(t HeldToken) bool { return t.ID == id })
}

// A HeldToken is an authenticator whose codes a machine holds.
type HeldToken struct {
	ID   AuthenticatorID `json:"id"`
	Kind Kind            `json:"kind"`
	To   uint64          `json:"to,omitempty"` // HOTP: the first counter whose code it does not hold
}

// A Limit bounds offline use. Days always bounds codes; Logins only where
// Counted.
type Limit struct {
	Days    int
	Counted bool
	Logins  int
}

// Until is the last instant of offline use after an online MFA at anchor; the
// zero time where there was none.
func (l Limit) Until(anchor time.Time) time.Time {
	if anchor.IsZero() || l.Days <= 0 {
		return time.Time{}
	}
	return anchor.Add(time.Duration(l.Days) * 24 * time.Hour)
}

// Left is what remains of an allowance.
type Left struct {
	Counted bool      // logins are counted
	Logins  int       // successful offline logins left, where Counted
	Until   time.Time // the last instant of offline use
}
