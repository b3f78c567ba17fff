package fleet

import (
	"latchkey"
	"latchkey/internal/otp"
	"latchkey/internal/policy"
)

// burnSlack is how often more than its allowance says a machine may use up codes
// of the present: not every login is charged to the allowance.
const burnSlack = 1

// affords reports whether the machine may raise the floor of a token so far. The
// codes of an app that are good at this moment are those that its owner needs
// elsewhere. A machine that reports logins as they happen uses them up, and one
// that invents logins does too: no oftener under one anchor than there are logins
// in an allowance. What is reported late harms nobody and is not counted. Tokens
// need no such bound: a machine is handed no more codes than one allowance is
// good for.
func (j *judge) affords(m *Member, t *Token, next uint64) bool {
	if t.Kind != latchkey.TOTP || next <= otp.Step(j.now, t.Period)-totpWindow {
		return true
	}
	burnt, most := 0, j.mostBurns(m)
	if t.BaseAnchor.Equal(m.Anchor) {
		burnt = t.Burnt
	}
	if _, counted := j.merger.Burns[t.ID]; burnt == most && !counted {
		j.incidentOf(m, "the machine used up more codes than the user's allowance is good for", "authenticator", string(t.ID))
	}
	if burnt <= most { // the one too many is counted too, so that it is told once
		j.merger.Burns[t.ID] = m.Anchor
	}
	return burnt < most
}

// mostBurns is how often codes may be used up under one anchor.
func (j *judge) mostBurns(m *Member) int {
	rules := policy.Choose(j.ledger.Policies, m.User)
	if rules == nil {
		return 0
	}
	if l := rules.Limit(j.ledger.Machine.KeyClass); l.Counted {
		return l.Logins + burnSlack
	}
	return walks * max(0, rules.HOTP.Window)
}
