package latchkey

import (
	"errors"
	"fmt"
)

// A Code classifies an error for whoever must act on it. Errors without a
// code are internal: nobody outside sees their text.
type Code string

// The codes.
const (
	Internal     Code = "internal"
	Invalid      Code = "invalid"      // the request cannot be meant
	NotFound     Code = "not_found"    //
	Conflict     Code = "conflict"     // it exists, or somebody was faster
	Unauthorized Code = "unauthorized" // who are you?
	Forbidden    Code = "forbidden"    // you may not
	Expired      Code = "expired"      // a token or code is past its time
	Exhausted    Code = "exhausted"    // a token or code is used up
	Busy         Code = "busy"         // try again later
	KeyReused    Code = "key_reused"   // the key of a command belongs to another one
	InProgress   Code = "in_progress"  // the same command is under way
	Interrupted  Code = "interrupted"  // the command was cut off; whether it was carried out is not known
	Unknown      Code = "unknown"      // a change was cut off while it was written; whether it is there is not known
)

// An Error carries a code, a sentence for a person and, where there is one, a
// next step.
type Error struct {
	Code    Code
	Message string
	Hint    string
}

// Error returns the sentence.
func (e *Error) Error() string { return e.Message }

// Errorf returns an error with a code.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// WithHint returns a copy of e that also says what to do next.
func (e *Error) WithHint(format string, args ...any) *Error {
	c := *e
	c.Hint = fmt.Sprintf(format, args...)
	return &c
}

// CodeOf returns the code of err: Internal for any error without one, "" for
// nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return Internal
}
