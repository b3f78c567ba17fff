package policy

import "latchkey"

// An Action is what an authority does next. The zero value denies.
type Action int

// The actions.
const (
	Deny   Action = iota
	Lock          // refuse until the lock is opened
	Ask           // ask for Required different kinds out of Kinds
	Enter         // let in without a factor (not-required)
	Allow         // let in on an earlier proof (trust, grace)
	Enroll        // offer enrollment, then ask
)

// A Decision says what to do and which row of the outcome table said so.
type Decision struct {
	Row      int
	Action   Action
	Reason   latchkey.Reason
	Required int             // for Ask: number of different kinds to prove
	Kinds    []latchkey.Kind // for Ask: in the policy's order of preference
	Spends   bool            // an offline success draws from the allowance
	// TokenUsedUp: the limit that was reached is the hardware token's, of which
	// no code is left here.
	TokenUsedUp bool
	// DaysOver: the limit that was reached is that of the days.
	DaysOver bool
	// Emergency: an emergency code of this machine may be asked for first.
	Emergency bool
	// Bypass: a bypass code may be asked for first.
	Bypass bool
	// Would is what would have happened, where the policy only records.
	Would *Decision
}

// Outcome is the outcome that the decision ends with, or "" where it asks.
func (d Decision) Outcome() latchkey.Outcome {
	switch d.Action {
	case Ask, Enroll:
		return ""
	case Enter:
		return latchkey.NotRequired
	case Allow:
		return latchkey.Allowed
	case Lock:
		return latchkey.Locked
	}
	return latchkey.Denied
}

// String reads like the outcome table: "ask 1 of totp hotp", "deny no_policy".
func (d Decision) String() string {
	if d.Action == Ask {
		s := "ask " + string(rune('0'+d.Required)) + " of"
		for _, k := range d.Kinds {
			s += " " + string(k)
		}
		return s
	}
	if d.Action == Enroll {
		return "enroll"
	}
	return string(d.Outcome()) + " " + string(d.Reason)
}
