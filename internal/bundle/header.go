// Package bundle is the form of what a machine may check alone: one signed,
// sealed header per user and machine, and the codebooks that it names.
//
// It holds no seed. It refuses to issue a code beyond the user's last online
// MFA on the machine plus the days of the policy, whatever the caller asks.
package bundle

import (
	"time"

	"latchkey"
)

// PayloadType is the DSSE payload type of a header.
const PayloadType = "application/vnd.latchkey.bundle+json; version=1"

// The statuses of a user on a machine. Anything else reads as disabled.
const (
	Active     = "active"
	Disabled   = "disabled"
	Tombstoned = "tombstoned" // disenrolled or deleted: wipe, then acknowledge
)

// A Header is the server's word on one user on one machine. Without
// credentials it is the status stub of a user who was seen there. Times are
// Unix milliseconds.
type Header struct {
	Deployment string             `json:"deployment"`
	Machine    latchkey.MachineID `json:"machine"`
	User       latchkey.UserID    `json:"user"`
	Name       string             `json:"name"`
	Directory  string             `json:"directory"`
	UID        *uint32            `json:"uid,omitempty"` // pinned at the first online success
	Version    uint64             `json:"version"`
	IssuedAt   int64              `json:"issued_at"`
	NotAfter   int64              `json:"not_after"`
	Status     string             `json:"status"`
	// Policy is the effective policy; null: no policy covers the user.
	Policy *latchkey.Policy `json:"policy"`
	// Anchor is the user's last online MFA on this machine, 0 for none.
	Anchor int64 `json:"anchor"`
	// Until is the last instant of offline use: anchor plus allowed days.
	Until       int64        `json:"until"`
	Enrolled    bool         `json:"enrolled"`
	Credentials []Credential `json:"credentials"`
	// Key is the thumbprint of the sealing key that this was sealed to.
	Key string `json:"key"`
}

// A Credential describes one authenticator that the machine may check.
type Credential struct {
	ID     latchkey.AuthenticatorID `json:"id"`
	Kind   latchkey.Kind            `json:"kind"`
	Label  string                   `json:"label"`
	Digits int                      `json:"digits"`
	Period int                      `json:"period,omitempty"`
	Window int                      `json:"window"`
	Next   uint64                   `json:"next"` // everything below is used
	Chunks []Chunk                  `json:"chunks"`
}

// A Chunk names a run of consecutive codes, at most one day of them.
type Chunk struct {
	From   uint64 `json:"from"`   // first step or counter
	Count  int    `json:"count"`  // 1–5,760
	SHA256 string `json:"sha256"` // of the plaintext codes, hex
}

// NotAfterTime and the other helpers turn the stored milliseconds into times.
func (h Header) NotAfterTime() time.Time { return time.UnixMilli(h.NotAfter) }

// UntilTime is the last instant of offline use.
func (h Header) UntilTime() time.Time { return time.UnixMilli(h.Until) }

// AnchorTime is the last online MFA; the zero time for none.
func (h Header) AnchorTime() time.Time {
	if h.Anchor == 0 {
		return time.Time{}
	}
	return time.UnixMilli(h.Anchor)
}

// Horizon is the last instant for which codes may be issued or accepted:
// anchor plus the days of the limit. Without an anchor there is none.
func Horizon(anchor time.Time, l latchkey.Limit) time.Time {
	return l.Until(anchor)
}
