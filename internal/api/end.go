package api

import (
	"encoding/json"
	"time"

	"latchkey"
)

// never is how an exemption without an end is asked for.
const never = "never"

// An End is when an exemption ends: at a time, or never, which somebody has to
// say. The zero value is no end at all and is refused.
type End struct {
	At    time.Time
	Never bool
}

// UnmarshalJSON reads a time of RFC 3339 or "never".
func (e *End) UnmarshalJSON(b []byte) error {
	var text string
	if json.Unmarshal(b, &text) == nil && text == never {
		*e = End{Never: true}
		return nil
	}
	var at time.Time
	if err := json.Unmarshal(b, &at); err != nil || at.IsZero() {
		return latchkey.Errorf(latchkey.Invalid, `an end is a time, written as in RFC 3339, or "never"`)
	}
	*e = End{At: at}
	return nil
}

// MarshalJSON writes what UnmarshalJSON reads.
func (e End) MarshalJSON() ([]byte, error) {
	if e.Never {
		return json.Marshal(never)
	}
	return json.Marshal(e.At)
}
