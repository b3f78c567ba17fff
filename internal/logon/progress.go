package logon

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"latchkey"
)

// Progress is how far a logon has come. It travels between turns in the
// prompt's state; the authority protects it.
type Progress struct {
	Turn   uint32          `json:"turn"`   // number of the prompt that is out
	Done   []latchkey.Kind `json:"done"`   // kinds that are proven
	Chosen latchkey.Kind   `json:"chosen"` // kind that is asked for now
	// Ahead: a token's code was right but too far ahead to be enough; the next
	// one is asked for.
	Ahead *Ahead `json:"ahead,omitempty"`
}

// Ahead is a code that its token will only show later than expected.
type Ahead struct {
	Credential latchkey.AuthenticatorID `json:"credential"`
	Counter    uint64                   `json:"counter"`
}

// A Question is what is still to be proven: Required different kinds out of
// Kinds, in order of preference.
type Question struct {
	Required int
	Kinds    []latchkey.Kind
	// Offline: what is left of the allowance is shown inside the prompt.
	Offline bool
	Left    *latchkey.Left
	// TokenCodes is how many codes of his hardware token the machine holds
	// still; nil where that bounds nothing.
	TokenCodes *int
	// TokenUsedUp: the machine holds no more codes of his hardware token, so that
	// only other kinds are asked for.
	TokenUsedUp bool
	// Zone is the person's time zone for dates; nil means UTC.
	Zone *time.Location
}

// open are the kinds that can still be chosen.
func (q Question) open(p Progress) []latchkey.Kind {
	var out []latchkey.Kind
	for _, k := range q.Kinds {
		if !slices.Contains(p.Done, k) {
			out = append(out, k)
		}
	}
	return out
}

// Finished reports whether enough different kinds are proven.
func (q Question) Finished(p Progress) bool { return len(p.Done) >= max(1, q.Required) }

// Next returns the prompt for what is still to be proven, and the progress
// that belongs to it: a choice where there are two or more kinds to choose
// from, else the question itself. Where every open kind is needed, or one is proven already, the
// preferred kind is asked at once (a word still switches).
func (q Question) Next(p Progress) (latchkey.Prompt, Progress) {
	p.Turn++
	open := q.open(p)
	settled := len(p.Done) > 0 || len(open) <= max(1, q.Required)
	if p.Chosen == "" && settled && len(open) > 0 {
		p.Chosen = open[0]
	}
	if p.Chosen == "" {
		return q.choice(p, open), p
	}
	return q.secret(p), p
}

// PromptTime is how long an answer may take.
const PromptTime = 100 * time.Second

func (q Question) choice(p Progress, open []latchkey.Kind) latchkey.Prompt {
	c := latchkey.Prompt{ID: p.Turn, Kind: latchkey.AskChoice, Label: "Choose how to confirm that it is you" + q.remains(""), Expires: PromptTime}
	for _, k := range open {
		c.Choices = append(c.Choices, latchkey.Choice{ID: string(k), Label: KindLabel(k)})
	}
	return c
}

func (q Question) secret(p Progress) latchkey.Prompt {
	label := askLabel(p.Chosen)
	if q.TokenUsedUp && p.Chosen == latchkey.TOTP {
		label = "One-time code of your authenticator app. Do not press your hardware token, its codes are used up here"
	}
	if p.Ahead != nil {
		label = "That code is ahead. Press the token once more and type the next code"
	}
	return latchkey.Prompt{
		ID: p.Turn, Kind: latchkey.AskSecret, Factor: p.Chosen,
		Label: label + q.remains(p.Chosen), Expires: PromptTime,
	}
}

// KindLabel names a kind for a person.
func KindLabel(k latchkey.Kind) string {
	switch k {
	case latchkey.TOTP:
		return "Authenticator app"
	case latchkey.HOTP:
		return "Hardware token"
	case latchkey.FIDO2:
		return "Security key"
	case latchkey.Recovery:
		return "Recovery code"
	case latchkey.Bypass:
		return "Bypass code from the help desk"
	case latchkey.Emergency:
		return "Emergency code from the help desk"
	}
	return string(k)
}

func askLabel(k latchkey.Kind) string {
	switch k {
	case latchkey.TOTP, latchkey.HOTP:
		return "One-time code"
	}
	return KindLabel(k)
}

// remains is what is left of the offline allowance, in words: nobody should be
// surprised by the limit.
func (q Question) remains(asked latchkey.Kind) string {
	if !q.Offline || q.Left == nil {
		return ""
	}
	var parts []string
	counted := q.Left.Counted && q.Left.Logins > 0 // with none left only what draws nothing is asked for
	codes := asked == latchkey.HOTP && q.TokenCodes != nil && (!q.Left.Counted || *q.TokenCodes < q.Left.Logins)
	switch {
	case codes:
		parts = append(parts, plural(*q.TokenCodes, "offline login")+" left with this token")
	case counted:
		parts = append(parts, plural(q.Left.Logins, "offline login")+" left")
	}
	if !q.Left.Until.IsZero() {
		parts = append(parts, "until "+Date(q.Left.Until, q.Zone))
	}
	if len(parts) == 0 {
		return " (offline)"
	}
	if !counted && !codes {
		parts[0] = "offline, " + parts[0]
	}
	return " (" + strings.Join(parts, ", ") + ")"
}

// Date writes the day of t as people do: 28 Nov.
func Date(t time.Time, zone *time.Location) string {
	if zone == nil {
		zone = time.UTC
	}
	return t.In(zone).Format("2 Jan")
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// Choose reads the answer to a choice: a number from 1, or an id. ok is false
// where it is neither.
func (q Question) Choose(p Progress, typed string) (Progress, bool) {
	open := q.open(p)
	typed = strings.ToLower(strings.TrimSpace(typed))
	if n, err := strconv.Atoi(typed); err == nil && n >= 1 && n <= len(open) {
		p.Chosen, p.Ahead = open[n-1], nil
		return p, true
	}
	if typed == "offline" && q.Offline && len(open) > 0 {
		p.Chosen, p.Ahead = open[0], nil
		return p, true
	}
	return q.word(p, typed)
}

// Word reads one of the words that any secret prompt takes instead of a code:
// the id of another kind that may be used. ok is false where typed is none.
func (q Question) Word(p Progress, typed string) (Progress, bool) {
	return q.word(p, strings.ToLower(strings.TrimSpace(typed)))
}

func (q Question) word(p Progress, id string) (Progress, bool) {
	if !slices.Contains(q.open(p), latchkey.Kind(id)) {
		return p, false
	}
	p.Chosen, p.Ahead = latchkey.Kind(id), nil
	return p, true
}

// Prove records that the chosen kind is proven.
func (p Progress) Prove() Progress {
	p.Done = append(slices.Clone(p.Done), p.Chosen)
	p.Chosen, p.Ahead = "", nil
	return p
}

// Behind records that the code of a token was right but too far ahead.
func (p Progress) Behind(id latchkey.AuthenticatorID, counter uint64) Progress {
	p.Ahead = &Ahead{id, counter}
	return p
}
