package logon

import (
	"encoding/hex"
	"fmt"
	"io"

	"latchkey"
)

// NewID returns a new logon id: 16 bytes of rand in hex.
func NewID(rand io.Reader) (latchkey.LogonID, error) {
	var b [16]byte
	if _, err := io.ReadFull(rand, b[:]); err != nil {
		return "", fmt.Errorf("naming logon: %w", err)
	}
	return hex.EncodeToString(b[:]), nil
}
