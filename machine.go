package latchkey

import "time"

// A MachineID names a machine for good: it is bound to the machine's own key,
// not to its host name.
type MachineID string

// A Mode says whether a machine asks whoever logs in. Anything but the three
// constants reads as Enforce, so that a missing or damaged mode denies.
type Mode string

// The modes of a machine.
const (
	Enforce Mode = "enforce" // asks everyone; nobody is waived
	Default Mode = "default" // the user's policy decides
	Exempt  Mode = "exempt"  // asks nobody until ExemptUntil
)

// A KeyClass says where a machine's keys live, and so what a thief of its disk
// gets.
type KeyClass string

// The key classes, from weak to strong.
const (
	Software KeyClass = "S" // files; the codes inside the horizon are readable
	Virtual  KeyClass = "V" // virtual or unattested TPM; rolls back like files
	TPM      KeyClass = "T" // attested TPM
)

// Rank orders key classes; unknown classes rank below Software.
func (c KeyClass) Rank() int {
	switch c {
	case Software:
		return 1
	case Virtual:
		return 2
	case TPM:
		return 3
	}
	return 0
}

// MaxOfflineDays is the hard maximum of offline days for the class.
func (c KeyClass) MaxOfflineDays() int {
	if c == TPM {
		return 90
	}
	return 14
}

// A MachineState says what the server thinks of a machine. Only Active
// machines are issued anything.
type MachineState string

// The states of a machine.
const (
	Pending     MachineState = "pending"     // same name, new key: waits for an administrator
	Active      MachineState = "active"      //
	Quarantined MachineState = "quarantined" // reported something impossible
	Removed     MachineState = "removed"
)

// A Machine is a computer with an agent.
type Machine struct {
	ID           MachineID
	Name         string
	State        MachineState
	Settings     MachineSettings
	OS           string
	AgentVersion string
	KeyClass     KeyClass
	SealingKey   []byte // HPKE public key (P-256, uncompressed point)
	IdentityHash []byte // SHA-256 of the identity key's SubjectPublicKeyInfo
	LastContact  time.Time
	CreatedAt    time.Time
}

// MachineSettings are what an administrator sets on a machine. They reach the
// machine as a signed object.
type MachineSettings struct {
	Mode            Mode      `json:"mode"`
	ExemptUntil     time.Time `json:"exempt_until,omitzero"`
	ExemptReason    string    `json:"exempt_reason,omitempty"`
	UnknownUsers    Fallback  `json:"unknown_users"`
	MatchLocal      bool      `json:"match_local"`
	TrustOnEnforced bool      `json:"trust_on_enforced"`
}

// DefaultSettings are the settings of a newly enrolled machine.
func DefaultSettings() MachineSettings {
	return MachineSettings{Mode: Default, UnknownUsers: Deny, MatchLocal: true}
}

// ExemptAt reports whether the machine is exempt at now. An exemption without
// an end is permanent only where the administrator said so (zero ExemptUntil).
func (s MachineSettings) ExemptAt(now time.Time) bool {
	return s.Mode == Exempt && (s.ExemptUntil.IsZero() || now.Before(s.ExemptUntil))
}

// EnforcedAt reports whether the machine asks everyone at now. A mode that is
// not known enforces. An expired exemption falls back to the user's policy.
func (s MachineSettings) EnforcedAt(time.Time) bool {
	return s.Mode != Default && s.Mode != Exempt
}
