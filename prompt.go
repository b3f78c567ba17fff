package latchkey

import (
	"time"

	"latchkey/internal/secret"
)

// A PromptKind says how a front-end shows a prompt.
type PromptKind string

// The kinds of prompt.
const (
	AskSecret  PromptKind = "secret"  // hidden input
	AskText    PromptKind = "text"    // visible input
	AskChoice  PromptKind = "choice"  // one of Choices
	AskConfirm PromptKind = "confirm" // yes or no
	AskTouch   PromptKind = "touch"   // a key blinks
)

// A Choice is one line of a choice prompt.
type Choice struct {
	ID    string `json:"id"` // a Kind, or "offline"
	Label string `json:"label"`
}

// A Prompt asks the person at the screen for one thing. Its Label is complete
// in itself: some front-ends show nothing else.
type Prompt struct {
	ID      uint32     `json:"id"`
	Kind    PromptKind `json:"kind"`
	Label   string     `json:"label"`
	Choices []Choice   `json:"choices,omitempty"`
	// Factor is the kind that is asked for; empty where the prompt is a choice.
	Factor  Kind          `json:"factor,omitempty"`
	Expires time.Duration `json:"expires"` // how long the answer may take
	// State is the authority's own: it comes back in the Answer unread.
	State []byte `json:"state,omitempty"`
}

// An Answer is what the person gave.
type Answer struct {
	Prompt uint32
	Value  secret.Bytes
	State  []byte
}
