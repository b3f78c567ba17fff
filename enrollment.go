package latchkey

import "time"

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
}

// A Limit bounds offline use. Days always bounds codes; Logins only where
// Counted.
type Limit struct {
	Days    int
	Counted bool
	Logins  int
}

// Left is what remains of an allowance.
type Left struct {
	Counted bool      // logins are counted
	Logins  int       // successful offline logins left, where Counted
	Until   time.Time // the last instant of offline use
}
