package vault

import (
	"time"

	"latchkey"
	"latchkey/internal/policy"
)

// Floor is the earliest that it can be now; the zero time on a machine that
// never heard a signed time.
func (v *Vault) Floor() time.Time {
	v.mu.Lock()
	defer v.mu.Unlock()
	c := v.ledger.head.Clock
	if c.At == 0 {
		return time.Time{}
	}
	return c.least(v.c.Clock())
}

// Alone reports whether the machine alone would ask for a factor, or let in
// without one. Where it would deny, only the server can help.
func (v *Vault) Alone(l latchkey.Logon) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := v.look(l)
	if _, no := s.refused(); no {
		return false
	}
	d := s.decided.Action
	return d == policy.Ask || d == policy.Enter || d == policy.Allow
}
