package latchkey

import "time"

// Codes answers what the code of a time step or counter is. The server
// computes it from the seed; a machine looks it up in a codebook. The second
// result is false where the source holds no code for n: past the horizon there
// is nothing left to match.
type Codes interface {
	At(n uint64) (code uint32, ok bool)
}

// A Credential is what a verifier needs to check one authenticator.
type Credential struct {
	ID     AuthenticatorID
	Kind   Kind
	Label  string
	Digits int // length of a code, 6–8
	Period int // seconds per step (TOTP), 15–120
	Window int // TOTP: steps accepted each side; HOTP: counters looked ahead
	Codes  Codes
}

// CredentialState is what changes as a credential is used. Whoever holds it
// stores it before answering.
type CredentialState struct {
	// Next is the lowest time step or counter that was never accepted.
	Next uint64
	// Fails counts consecutive wrong answers since the last right one.
	Fails int
	// Debt counts wrong answers since the last online MFA: right answers in
	// between do not clear it, so that alternating cannot buy free guesses.
	Debt int
	// RetryAt is when the next answer may be given; zero means now.
	RetryAt time.Time
}

// A Floor raises the Next of one credential somewhere else.
type Floor struct {
	Credential AuthenticatorID `json:"credential"`
	Next       uint64          `json:"next"`
}
