package frame

import (
	"fmt"
	"io"
)

// Version is the newest protocol version this package speaks, OldestVersion
// the oldest (never more than one behind).
const (
	Version       = 1
	OldestVersion = 1
)

// A Message is one of Hello, Begin, Answer, Cancel, Ask, Say, Tick, Verdict.
type Message interface {
	// Encode returns ErrMalformed when a field breaks its limit.
	Encode() (Frame, error)
}

// Caps says what a front-end can show.
type Caps uint32

// The capabilities of a front-end.
const (
	CapLiveInfo Caps = 1 << iota // a Say is seen at once
	CapChoice                    // renders a list of choices itself
	CapQRText                    // fixed-width text of many lines
)

// Hello opens a connection.
type Hello struct {
	MinVersion, MaxVersion uint8
	Kind                   string // "pam", "credprov", "macos", "cli"
	Locale                 string // "" means "C"
	Caps                   Caps
}

// Common returns the highest version both sides speak, false without one.
func (h Hello) Common() (uint8, bool) {
	v := min(h.MaxVersion, Version)
	return v, v >= h.MinVersion && v >= OldestVersion
}

// An Op is what a transaction is about. The zero Op is refused.
type Op uint8

// The operations of a Begin.
const (
	OpAuthenticate Op = iota + 1
	OpAccount         // answered with one Verdict, never an Ask
)

// Flags are circumstances of a logon.
type Flags uint32

// The flags of a Begin.
const (
	FlagSilent   Flags = 1 << iota // only prompts are shown
	FlagOneField                   // one secret is typed already, nothing else can be asked
)

// Begin asks for a decision about one logon. Names are bytes from the
// machine, not necessarily UTF-8; nil numbers are unknown.
type Begin struct {
	Op              Op
	Scenario        string // "" lets the agent map Service
	Service         string
	User            string
	UID             *uint32
	SID             string
	RUser           string
	RUID            *uint32
	RHost, TTY      string
	Flags           Flags
	FirstFactorDone bool   // a hint of the front-end, not a proof
	AuthEvent       string // EventID of the verdict of the auth phase (OpAccount)
}

// Answer is what the user gave to the Ask of the same ID. Value is secret.
type Answer struct {
	ID    uint32
	Value []byte
}

// String leaves the value out.
func (a Answer) String() string { return fmt.Sprintf("ANSWER %d [secret]", a.ID) }

// GoString keeps %#v from printing the value.
func (a Answer) GoString() string { return a.String() }

// Cancel ends a logon; nothing is charged when no Answer came before.
type Cancel struct{}

// A Kind is how a question is asked. The zero Kind is refused.
type Kind uint8

// The kinds of an Ask.
const (
	Secret  Kind = iota + 1 // not echoed
	Text                    // echoed
	Choice                  // number of a line, or an id
	Confirm                 // yes or no
	Touch                   // needs no Answer
)

var kindNames = [...]string{Secret: "secret", Text: "text", Choice: "choice", Confirm: "confirm", Touch: "touch"}

// String returns the word used in transcripts.
func (k Kind) String() string {
	if k >= Secret && k <= Touch {
		return kindNames[k]
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// An Option is one line of a choice.
type Option struct{ ID, Label string }

// MaxOptions is how many options one Ask may offer.
const MaxOptions = 16

// Ask puts a question to the user.
type Ask struct {
	ID      uint32
	Kind    Kind
	Label   string   // localised, understandable alone, without a final colon
	Expiry  uint32   // seconds from now, 0 for none
	Choices []Option // only with Kind Choice
}

// Say is text that needs no answer.
type Say struct {
	Text  string
	Error bool
}

// Tick says that the agent is alive; the first one carries the version.
type Tick struct{ Version uint8 }

// An Outcome ends a logon. The zero Outcome denies.
type Outcome uint8

// The outcomes of a Verdict.
const (
	Deny Outcome = iota
	Allow
	NotRequired
	Locked
	Unavailable
)

var outcomeNames = [...]string{Deny: "deny", Allow: "allow", NotRequired: "not-required", Locked: "locked", Unavailable: "unavailable"}

// String returns the word used in transcripts.
func (o Outcome) String() string {
	if o <= Unavailable {
		return outcomeNames[o]
	}
	return fmt.Sprintf("outcome %d", uint8(o))
}

// LetsIn is true for Allow and NotRequired only.
func (o Outcome) LetsIn() bool { return o == Allow || o == NotRequired }

// Verdict is the last message of the agent. nil numbers are not counted.
type Verdict struct {
	Outcome    Outcome
	Reason     string // reason code, [a-z0-9_]
	Text       string // for the user
	LoginsLeft *uint32
	DaysLeft   *uint32
	ValidUntil *uint64 // Unix seconds
	EventID    string
}

// Send encodes m and writes it in one call.
func Send(w io.Writer, m Message) error {
	f, err := m.Encode()
	if err != nil {
		return err
	}
	err = Write(w, f)
	f.Wipe()
	return err
}

// Receive reads one frame and parses it; errors as Read and Parse.
func Receive(r io.Reader) (Message, error) {
	f, err := Read(r)
	if err != nil {
		return nil, err
	}
	return Parse(f)
}
