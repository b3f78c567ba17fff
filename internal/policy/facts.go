// Package policy decides what a logon must prove. It reads no clock and
// touches no disk: the server and the offline vault call the same function, so
// a login with the cable pulled is judged by the same rules as one without.
//
// It refuses to verify anything: it says what to ask for, never whether an
// answer is right.
package policy

import (
	"time"

	"latchkey"
)

// Facts are everything that a decision depends on. Every zero value is the one
// that denies.
type Facts struct {
	Now      time.Time
	Offline  bool // the server cannot be asked
	Scenario latchkey.Scenario
	Machine  Machine
	User     User
	// Signed says that policy, status and machine settings are signed, not
	// expired and not older than seen before. The server's own facts always are.
	Signed bool
	// Policy is the effective policy; nil where none covers the user.
	Policy *latchkey.Policy
	// Usable are the kinds that the user could answer with here: online what he
	// has, offline what this machine can check. Kinds may repeat.
	Usable []latchkey.Kind
	// Locked: too many wrong answers.
	Locked bool
	// Trust and Grace: a valid ticket for this user, machine, scenario and boot.
	Trust, Grace bool
	Local        Local
}

// Machine is what is known of the machine.
type Machine struct {
	Removed  bool
	Settings latchkey.MachineSettings
	KeyClass latchkey.KeyClass
}

// User is what is known of the user.
type User struct {
	Known     bool
	Ambiguous bool // the name means several users, or another uid than before
	Disabled  bool // disabled, restricted or tombstoned
}

// Local is what only the machine knows, and counts only offline.
type Local struct {
	Enrolled    bool // a bundle for this user was issued to this machine
	Corrupt     bool // the local state cannot be read
	ClockBehind bool // the clock stands before a time that was proven
	TokenUsedUp bool // no code of a hardware token is left here
	LastDayOver bool // the last instant of offline use has passed
	UsedUp      bool // no counted login is left
}

// enforced reports whether nobody may be waived. Offline, anything that is not
// freshly signed reads as enforced.
func (f Facts) enforced() bool {
	return f.Machine.Settings.EnforcedAt(f.Now) || !f.trusted()
}

// trusted reports whether the signed objects may be relied on.
func (f Facts) trusted() bool { return !f.Offline || f.Signed }

// spent reports whether the offline allowance is used up in this scenario.
func (f Facts) spent() bool {
	if f.Policy == nil {
		return f.Local.LastDayOver
	}
	return f.Local.LastDayOver || f.Local.UsedUp && f.Policy.Spends(f.Scenario)
}
