package api

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
)

// Sum names the report for the Prev of the next one: SHA-256, in hex, of its
// JSON as encoding/json writes it. A machine that changes or drops a report
// breaks the chain of all that follow.
func (r Report) Sum() string {
	doc, err := json.Marshal(r)
	if err != nil { // numbers and strings always marshal
		return ""
	}
	sum := sha256.Sum256(doc)
	return hex.EncodeToString(sum[:])
}
