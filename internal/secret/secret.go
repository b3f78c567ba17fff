// Package secret holds keys, seeds, passwords and codes as bytes that print as
// "[secret]" in fmt, log/slog and every text or JSON encoder. It refuses to be
// read back from what it prints: a secret that must be stored or shown is
// converted to []byte or string in plain sight, where a reviewer sees it.
//
// One hole is fmt's own: it calls no methods on unexported fields, so a struct
// printed whole shows the numbers of an unexported Bytes field. A struct that
// holds one is never printed, or has a String and a Format of its own.
package secret

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"slices"
)

// Mask is what every secret prints as, whatever its length or content.
const Mask = "[secret]"

// ErrUnreadable is returned by every decoder: what Bytes marshals to is Mask,
// so reading one back could only yield the mask as if it were a key.
var ErrUnreadable = errors.New("a secret is not read from text or json: decode it as []byte or string and convert")

// Bytes is a secret. The zero value is the empty secret; it equals nothing,
// not even itself (see Equal).
type Bytes []byte

// String returns Mask.
func (Bytes) String() string { return Mask }

// GoString returns Mask, for %#v.
func (Bytes) GoString() string { return Mask }

// Format writes Mask for every verb: without it %x and %d would walk the slice
// and print its bytes.
func (Bytes) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, Mask) }

// MarshalText returns Mask, so that text encoders and slog's text handler
// print it.
func (Bytes) MarshalText() ([]byte, error) { return []byte(Mask), nil }

// MarshalJSON returns Mask as a JSON string, so that json and slog's JSON
// handler print it.
func (Bytes) MarshalJSON() ([]byte, error) { return []byte(`"` + Mask + `"`), nil }

// UnmarshalText always returns ErrUnreadable.
func (*Bytes) UnmarshalText([]byte) error { return ErrUnreadable }

// UnmarshalJSON always returns ErrUnreadable.
func (*Bytes) UnmarshalJSON([]byte) error { return ErrUnreadable }

// Wipe overwrites the bytes with zeros. Copies made earlier (Clone, string
// conversions, the garbage collector's moves) are not reached: it shortens the
// time a secret is in memory and promises no more.
func (b Bytes) Wipe() { clear(b) }

// Equal compares in time that depends on the lengths only. Two empty secrets
// are not equal: a missing secret must never match a missing answer.
func (b Bytes) Equal(other []byte) bool {
	return len(b) > 0 && subtle.ConstantTimeCompare(b, other) == 1
}

// Clone returns an independent copy; Wipe on one leaves the other alone.
func (b Bytes) Clone() Bytes { return slices.Clone(b) }
