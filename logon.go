package latchkey

import "time"

// A LogonID names one logon across machine and server: 16 random bytes in
// hex, chosen by the agent.
type LogonID = string

// A Scenario is the occasion of a logon.
type Scenario string

// The scenarios.
const (
	Console      Scenario = "console"
	Unlock       Scenario = "unlock"
	Elevate      Scenario = "elevate"
	RemoteLogon  Scenario = "remote"
	RemoteClient Scenario = "remote-client"
)

// Scenarios lists every scenario.
var Scenarios = []Scenario{Console, Unlock, Elevate, RemoteLogon, RemoteClient}

// A Logon is one attempt of one user on one machine.
type Logon struct {
	ID       LogonID  `json:"id"`
	Scenario Scenario `json:"scenario"`
	Service  string   `json:"service,omitempty"` // PAM service, or the front-end's name
	User     string   `json:"user"`              // as typed
	UID      *uint32  `json:"uid,omitempty"`     // nil where the front-end knows none
	SID      string   `json:"sid,omitempty"`
	Local    bool     `json:"local"` // the name is in the machine's own passwd file
	RUser    string   `json:"ruser,omitempty"`
	RHost    string   `json:"rhost,omitempty"`
	TTY      string   `json:"tty,omitempty"`
	// Caller is the uid of the process that asks; root may speak for anyone.
	Caller uint32 `json:"caller"`
	// Account asks only whether the account may enter at all (no factor).
	Account bool `json:"account,omitempty"`
	// Trusted and Graced: the machine holds a ticket that is valid here and now.
	// Policy decides what it is worth.
	Trusted bool `json:"trusted,omitempty"`
	Graced  bool `json:"graced,omitempty"`
}

// An Outcome is how a logon ends. The zero value denies.
type Outcome string

// The outcomes, as front-ends know them.
const (
	Denied      Outcome = "deny"
	Allowed     Outcome = "allow"
	NotRequired Outcome = "not-required"
	Locked      Outcome = "locked"
	Unavailable Outcome = "unavailable"
)

// Enters reports whether the outcome lets the person in.
func (o Outcome) Enters() bool { return o == Allowed || o == NotRequired }

// A Verdict ends a logon. Verdict{} denies.
type Verdict struct {
	Outcome Outcome
	Reason  Reason
	Text    string // for the person, with a next step
	Event   string // id of the audit event
	Left    *Left  // offline allowance, where it is known
	Retry   time.Time
	Offline bool
	Asked   Kind // what the last answer was for; "" where none was given
}

// Deny returns a denial with its reason.
func DenyVerdict(r Reason) Verdict { return Verdict{Outcome: Denied, Reason: r} }
