package api

import (
	"encoding/json"

	"latchkey"
	"latchkey/internal/secret"
)

// MaxAnswer is the longest answer in bytes.
const MaxAnswer = 4096

// quote writes b as a JSON string.
func quote(b secret.Bytes) []byte {
	out, err := json.Marshal(string(b))
	if err != nil { // a string always marshals
		return []byte(`""`)
	}
	return out
}

// unquote reads a JSON string of at most MaxAnswer bytes.
func unquote(b []byte) (secret.Bytes, error) {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return nil, latchkey.Errorf(latchkey.Invalid, "the answer is not a string")
	}
	if len(s) > MaxAnswer {
		return nil, latchkey.Errorf(latchkey.Invalid, "the answer is longer than %d bytes", MaxAnswer)
	}
	return secret.Bytes(s), nil
}
