package api

import (
	"time"

	"latchkey"
)

// The bodies of the administrator's API, which are also what the command line
// prints with --json. Fields may be added, never renamed.

// User is a user as scripts see it.
type User struct {
	ID             latchkey.UserID `json:"id"`
	Name           string          `json:"name"`
	Directory      string          `json:"directory"`
	Disabled       bool            `json:"disabled"`
	Groups         []string        `json:"groups"`
	Authenticators []Authenticator `json:"authenticators"`
}

// SetGroups replaces a user's groups.
type SetGroups struct {
	Groups []string `json:"groups"`
}

// Authenticator never carries the secret; see NewAuthenticator.
type Authenticator struct {
	ID        latchkey.AuthenticatorID `json:"id"`
	Kind      latchkey.Kind            `json:"kind"`
	Label     string                   `json:"label"`
	Algorithm string                   `json:"algorithm,omitempty"`
	Digits    int                      `json:"digits,omitempty"`
	Period    int                      `json:"period,omitempty"`
	CreatedAt time.Time                `json:"created_at"`
	LastUsed  *time.Time               `json:"last_used_at"`
	Lease     *Lease                   `json:"lease,omitempty"` // of a hardware token
}

// Lease says which machine alone may check a hardware token's codes offline.
type Lease struct {
	Machine string    `json:"machine"`
	Until   time.Time `json:"until"` // from then on another machine may take it over
}

// MoveLease gives the lease of a hardware token to a machine.
type MoveLease struct {
	Machine string `json:"machine"`
}

// MovedLease says where the lease of a hardware token is now.
type MovedLease struct {
	ID      latchkey.AuthenticatorID `json:"id"`
	Machine string                   `json:"machine"`
	Until   time.Time                `json:"until"`
	Moved   bool                     `json:"moved"` // false: the machine has it already
	// WaitsForLogin: the machine gets codes once the user has logged in there with
	// the network.
	WaitsForLogin bool `json:"waits_for_login"`
}

// Resynced says where the counter of a hardware token is now.
type Resynced struct {
	ID      latchkey.AuthenticatorID `json:"id"`
	Next    uint64                   `json:"next"`    // the counter of the code that it shows next
	Skipped uint64                   `json:"skipped"` // presses that nobody knew of
}

// Resync brings the counter of a hardware token along: two codes that it shows
// one after the other.
type Resync struct {
	Codes []string `json:"codes"`
}

// AddUser creates a user of the built-in directory.
type AddUser struct {
	Name   string   `json:"name"`
	Groups []string `json:"groups,omitempty"`
}

// AddAuthenticator adds a TOTP or HOTP authenticator. Secret or URI imports an
// existing key; without them the server makes one.
type AddAuthenticator struct {
	Kind      latchkey.Kind `json:"kind"`
	Label     string        `json:"label,omitempty"`
	URI       string        `json:"uri,omitempty"`
	Secret    string        `json:"secret,omitempty"` // base32
	Algorithm string        `json:"algorithm,omitempty"`
	Digits    int           `json:"digits,omitempty" minimum:"6"`
	Period    int           `json:"period,omitempty" minimum:"15"`
	Counter   uint64        `json:"counter,omitempty"`
}

// NewAuthenticator is shown once, at creation.
type NewAuthenticator struct {
	ID     latchkey.AuthenticatorID `json:"id"`
	URI    string                   `json:"uri"`
	Secret string                   `json:"secret"` // base32
}

// Machine is a machine as scripts see it.
type Machine struct {
	ID            latchkey.MachineID    `json:"id"`
	Name          string                `json:"name"`
	Mode          latchkey.Mode         `json:"mode"`
	State         latchkey.MachineState `json:"state"`
	ExemptUntil   *time.Time            `json:"exempt_until"`
	ExemptReason  string                `json:"exempt_reason,omitempty"`
	UnknownUsers  latchkey.Fallback     `json:"unknown_users"`
	MatchLocal    bool                  `json:"match_local"`
	TrustEnforced bool                  `json:"trust_on_enforced"`
	OS            string                `json:"os"`
	AgentVersion  string                `json:"agent_version"`
	LastContact   *time.Time            `json:"last_contact_at"`
	KeyClass      latchkey.KeyClass     `json:"key_class"`
}

// MachineChange sets settings of a machine; absent fields stay. The mode exempt
// needs a reason and an end. ExemptReason is Reason under the name that it has in
// Machine.
type MachineChange struct {
	Mode          *latchkey.Mode     `json:"mode,omitempty"`
	ExemptUntil   *End               `json:"exempt_until,omitempty"`
	Reason        *string            `json:"reason,omitempty"`
	ExemptReason  *string            `json:"exempt_reason,omitempty"`
	UnknownUsers  *latchkey.Fallback `json:"unknown_users,omitempty"`
	MatchLocal    *bool              `json:"match_local,omitempty"`
	TrustEnforced *bool              `json:"trust_on_enforced,omitempty"`
}

// CreateToken asks for an enrollment token.
type CreateToken struct {
	Uses       int `json:"uses,omitempty" minimum:"1"`        // 1 by default
	TTLSeconds int `json:"ttl_seconds,omitempty" minimum:"1"` // 24 h by default, 30 d at most
	// NamePattern is which names the machines may have: * any run of characters,
	// ? any one. Empty: any name.
	NamePattern string `json:"name_pattern,omitempty"`
	// Approve: machines that join wait until an administrator approves of them.
	Approve bool `json:"approve,omitempty"`
}

// Token is an enrollment token; it is shown once.
type Token struct {
	Token     string    `json:"token"`
	ExpiresAt time.Time `json:"expires_at"`
	Uses      int       `json:"uses"`

	NamePattern string `json:"name_pattern,omitempty"`
	Approve     bool   `json:"approve,omitempty"`
}

// MachineToken is an enrollment token without its secret.
type MachineToken struct {
	ID          string    `json:"id"`
	CreatedBy   string    `json:"created_by"`
	CreatedAt   time.Time `json:"created_at"`
	ExpiresAt   time.Time `json:"expires_at"`
	Uses        int       `json:"uses"`
	UsesLeft    int       `json:"uses_left"`
	NamePattern string    `json:"name_pattern"` // "": any name
	Approve     bool      `json:"approve"`
}

// Enrollment is one row of the offline enrollment report.
type Enrollment struct {
	User       string     `json:"user"`
	Machine    string     `json:"machine"`
	EnrolledAt time.Time  `json:"enrolled_at"`
	LastSynced *time.Time `json:"last_synced_at"`
	LoginsLeft *int       `json:"logins_left"` // null: not counted
	ValidUntil *time.Time `json:"valid_until"`
	Pending    string     `json:"pending"` // what the machine has not acknowledged yet, or ""

	// Authenticators are those that the machine has confirmed to hold and can
	// check without the server, a kind for each.
	Authenticators []latchkey.Kind `json:"authenticators"`
	Tokens         []TokenCodes    `json:"tokens,omitempty"` // that the machine holds codes of, as far as is known
	// Ready: the user could log in there now without the server, and may.
	Ready    bool   `json:"ready"`
	NotReady string `json:"not_ready,omitempty"` // why not
}

// TokenCodes is how many codes of a hardware token a machine holds still.
type TokenCodes struct {
	ID        latchkey.AuthenticatorID `json:"id"`
	CodesLeft int                      `json:"codes_left"`
}

// HOTPSize is how somebody used a hardware token, and how many codes of it his
// machine should hold for a trip.
type HOTPSize struct {
	User      string        `json:"user"`
	Logins    int           `json:"logins"`     // with a token, in the time that was looked at
	LoginDays int           `json:"login_days"` // on which there were any
	PerDay    float64       `json:"logins_per_day"`
	Busiest   int           `json:"busiest_day"`
	Away      float64       `json:"longest_offline_days"`
	Days      int           `json:"days"`      // of the trip that is planned for
	Suggested *HOTPSettings `json:"suggested"` // null: no login to go by
	Policy    string        `json:"policy"`
	Now       HOTPSettings  `json:"now"` // what that policy gives
	Fits      bool          `json:"fits"`
	Why       string        `json:"why,omitempty"` // it does not, or cannot be told
}

// HOTPSettings are those of a policy.
type HOTPSettings struct {
	Window int `json:"window"`
	Buffer int `json:"buffer"`
	Quota  int `json:"quota"`
}

// Event is one line of the audit trail.
type Event struct {
	ID       string             `json:"id"`
	Time     time.Time          `json:"time"`
	Kind     latchkey.EventKind `json:"kind"`
	Actor    string             `json:"actor,omitempty"`
	User     string             `json:"user"`
	Machine  string             `json:"machine"`
	Outcome  latchkey.Outcome   `json:"outcome"`
	Reason   latchkey.Reason    `json:"reason"`
	Offline  bool               `json:"offline"`
	Scenario latchkey.Scenario  `json:"scenario,omitempty"`
	Logon    latchkey.LogonID   `json:"logon,omitempty"`
	Detail   map[string]string  `json:"detail,omitempty"`
}

// PoliciesSet are policies as they were merged, and remarks on them.
type PoliciesSet struct {
	Policies []latchkey.Policy `json:"policies"`
	Notes    []string          `json:"notes"`
}

// Explained says what a logon would meet, online and offline, and why.
type Explained struct {
	Online  Explanation    `json:"online"`
	Offline Explanation    `json:"offline"`
	Policy  string         `json:"policy"` // "" where none covers
	Rows    []ExplainedRow `json:"rows"`
	Notes   []string       `json:"notes,omitempty"` // clamps and lints
}

// Explanation is one decision. Outcome is "ask" where a factor is asked for.
type Explanation struct {
	Outcome string          `json:"outcome"`
	Reason  latchkey.Reason `json:"reason"`
	Ask     []latchkey.Kind `json:"ask"`
	Row     int             `json:"row"`
}

// ExplainedRow is one row of the outcome table and whether it matched.
type ExplainedRow struct {
	Row     int    `json:"row"`
	State   string `json:"state"`
	Online  bool   `json:"online"`
	Offline bool   `json:"offline"`
}
