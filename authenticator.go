package latchkey

import (
	"slices"
	"time"
)

// An AuthenticatorID names an authenticator for good.
type AuthenticatorID string

// A Kind is a kind of authenticator (NIST SP 800-63B section 3).
type Kind string

// The kinds. Bypass codes work online only; emergency codes offline only.
const (
	FIDO2     Kind = "fido2"
	TOTP      Kind = "totp"
	HOTP      Kind = "hotp"
	Recovery  Kind = "recovery"
	Bypass    Kind = "bypass"
	Emergency Kind = "emergency"
)

// PolicyKinds are the kinds that a policy may list.
var PolicyKinds = []Kind{FIDO2, TOTP, HOTP, Recovery}

// Listed reports whether k may stand in a policy's lists.
func (k Kind) Listed() bool { return slices.Contains(PolicyKinds, k) }

// An Authenticator is something that a user has. Its secret stays with the
// server; what a machine may check is a Credential.
type Authenticator struct {
	ID        AuthenticatorID
	User      UserID
	Kind      Kind
	Label     string
	Algorithm string // SHA1, SHA256, SHA512 (otp kinds)
	Digits    int    // 6–8 (otp kinds)
	Period    int    // seconds, 15–120 (TOTP)
	CreatedAt time.Time
	LastUsed  time.Time
	Lease     *Lease // HOTP; nil where no machine was ever handed codes
}

// LeaseLife is how long a machine may rely on the lease of a hardware token
// without contact.
const LeaseLife = 30 * 24 * time.Hour

// A Lease says which machine alone may check the codes of a hardware token
// offline. Once Until has passed, another takes it over at an online MFA there.
type Lease struct {
	Host  string // the machine's name
	Until time.Time
}
