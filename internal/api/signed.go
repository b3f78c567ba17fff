// Package api is the words in which agent, server and command line talk: the
// bodies of requests and answers, and the objects that the server signs.
//
// It refuses to carry meaning of its own: no defaults, no checks beyond form.
package api

import "latchkey"

// The DSSE payload types of what the server signs, one for each kind: an
// object of one kind can never be taken for another.
const (
	VerdictType  = "application/vnd.latchkey.verdict+json; version=1"
	SettingsType = "application/vnd.latchkey.machine+json; version=1"
	KeySetType   = "application/vnd.latchkey.keys+json; version=1"
	HealthType   = "application/vnd.latchkey.health+json; version=1"
)

// A Verdict is the server's signed word on one logon. Times are Unix
// milliseconds. It is bound to the agent's nonce: an old one is worth nothing.
type Verdict struct {
	Deployment string             `json:"deployment"`
	Machine    latchkey.MachineID `json:"machine"`
	Logon      latchkey.LogonID   `json:"logon"`
	Nonce      string             `json:"nonce"`
	At         int64              `json:"at"` // the server's time: signed time for the agent
	User       latchkey.UserID    `json:"user"`
	Version    uint64             `json:"version"`
	Outcome    latchkey.Outcome   `json:"outcome"`
	Reason     latchkey.Reason    `json:"reason"`
	Text       string             `json:"text"`
	Event      string             `json:"event"`
	// Anchor is the time of the online MFA that this verdict proves; 0 where it
	// proves none. It opens a new allowance and clears offline failures.
	Anchor int64 `json:"anchor"`
	// Sticky: the cause stays (disabled, removed, disenrolled, locked until
	// Until). The machine keeps denying offline until a higher version says
	// otherwise.
	Sticky bool             `json:"sticky"`
	Until  int64            `json:"until"` // end of a lock; 0 where it has none
	Floors []latchkey.Floor `json:"floors"`
	// Trust is until when this machine may be trusted for the user; 0: not.
	Trust int64 `json:"trust"`
}

// Settings are the machine's own settings, signed.
type Settings struct {
	Deployment string                   `json:"deployment"`
	Machine    latchkey.MachineID       `json:"machine"`
	Version    uint64                   `json:"version"`
	IssuedAt   int64                    `json:"issued_at"`
	NotAfter   int64                    `json:"not_after"`
	Removed    bool                     `json:"removed"`
	Settings   latchkey.MachineSettings `json:"settings"`
	// MinAgent is the lowest agent version that may decide offline.
	MinAgent string `json:"min_agent"`
}

// A KeySet lists the keys that sign for the deployment, the next one included.
// It is signed by a key that the machine trusts already.
type KeySet struct {
	Deployment string   `json:"deployment"`
	Version    uint64   `json:"version"`
	Epoch      uint64   `json:"epoch"` // raised by every restore from a backup
	Keys       []string `json:"keys"`  // Ed25519 public keys, base64
}

// Health answers whether this server can be asked. Signed and bound to the
// nonce, so that a captive portal cannot play server.
type Health struct {
	Deployment string `json:"deployment"`
	Nonce      string `json:"nonce"`
	At         int64  `json:"at"`
}
