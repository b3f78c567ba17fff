package httpd

import (
	"encoding/hex"
	"slices"

	"latchkey"
)

const (
	maxNonce = 128 // bytes
	maxField = 256 // bytes, of what a front-end says about a logon
)

func checkNonce(nonce string) error {
	if nonce == "" || len(nonce) > maxNonce {
		return latchkey.Errorf(latchkey.Invalid, "the nonce has 1 to %d bytes", maxNonce)
	}
	return nil
}

// checkLogon looks at the form of a logon: its id names it in the audit trail
// and is never anything else, and what a front-end was told fits a line.
func checkLogon(nonce string, l latchkey.Logon) error {
	if err := checkNonce(nonce); err != nil {
		return err
	}
	if id, err := hex.DecodeString(l.ID); err != nil || len(id) != 16 || hex.EncodeToString(id) != l.ID {
		return latchkey.Errorf(latchkey.Invalid, "a logon's id is 16 bytes in hex")
	}
	if !slices.Contains(latchkey.Scenarios, l.Scenario) {
		return latchkey.Errorf(latchkey.Invalid, "the scenario is not known")
	}
	if l.User == "" {
		return latchkey.Errorf(latchkey.Invalid, "the logon has no user")
	}
	for _, s := range []string{l.User, l.Service, l.SID, l.RUser, l.RHost, l.TTY} {
		if len(s) > maxField {
			return latchkey.Errorf(latchkey.Invalid, "a field of the logon is longer than %d bytes", maxField)
		}
	}
	return nil
}
