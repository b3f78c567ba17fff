package policy

import (
	"slices"
	"time"

	"latchkey"
)

// Withholds says why a machine of the class holds no code of anybody whom the
// policy rules; "" where it may. Of a protected user it holds none: what works
// elsewhere too must not lie on it.
func Withholds(p latchkey.Policy, class latchkey.KeyClass) string {
	switch {
	case !p.Offline.Enabled:
		return "the policy switches offline logins off"
	case p.Protected:
		return "the policy protects the user: no machine holds codes that work elsewhere too"
	case class.Rank() < p.MinKeyClass.Rank():
		return "the machine's key class is below min_key_class: it holds nothing for offline logons"
	}
	return ""
}

// Leased reports whether a machine may be given codes of an HOTP token: it has
// the lease, or nobody has and its user has proven himself online there, at
// anchor, since it was free. A background sync takes no lease.
func Leased(holder latchkey.MachineID, until time.Time, machine latchkey.MachineID, anchor, now time.Time) bool {
	free := !now.Before(until) && !anchor.Before(until)
	return holder == "" || holder == machine || free
}

// An Owned is an authenticator of a user, as far as it decides who holds codes.
type Owned struct {
	ID           latchkey.AuthenticatorID
	Kind         latchkey.Kind
	Next         uint64 // lowest step or counter that was never used
	LeaseMachine latchkey.MachineID
	LeaseHost    string
	LeaseUntil   time.Time
}

// A Claim is what decides which codes of a user a machine should hold.
type Claim struct {
	Policy   *latchkey.Policy // nil: none covers the user
	Disabled bool
	Enrolled bool // for offline logons there, and not disenrolled
	Machine  latchkey.MachineID
	Class    latchkey.KeyClass
	Anchor   time.Time // his last online MFA there
	Now      time.Time
	Owned    []Owned
}

// Due is what the machine should hold of the user once it was in contact, and
// why that is not enough for a login; "" where it is.
func (c Claim) Due() (latchkey.Holding, string) {
	if why := c.withheld(); why != "" {
		return latchkey.Holding{}, why
	}
	limit := c.Policy.Limit(c.Class)
	h := latchkey.Holding{
		Until: limit.Until(c.Anchor), Counted: limit.Counted, Logins: limit.Logins, Required: max(1, c.Policy.Factors.Required),
	}
	elsewhere := ""
	for _, o := range c.Owned {
		switch {
		case !slices.Contains(c.Policy.Factors.Offline, o.Kind):
		case o.Kind == latchkey.HOTP && !Leased(o.LeaseMachine, o.LeaseUntil, c.Machine, c.Anchor, c.Now):
			elsewhere = ": the codes of the hardware token are on " + o.LeaseHost + ", until " + o.LeaseUntil.UTC().Format(time.RFC3339)
		case o.Kind == latchkey.TOTP || o.Kind == latchkey.HOTP:
			h.Tokens = append(h.Tokens, latchkey.HeldToken{ID: o.ID, Kind: o.Kind})
		}
	}
	return h, short(h, elsewhere)
}

func (c Claim) withheld() string {
	switch {
	case c.Disabled:
		return "the account is disabled"
	case !c.Enrolled || c.Anchor.IsZero():
		return "not enrolled for offline logons there"
	case c.Policy == nil:
		return "no policy covers the user"
	}
	return Withholds(*c.Policy, c.Class)
}

// short says why a holding is not enough for a login.
func short(h latchkey.Holding, elsewhere string) string {
	n := len(h.Kinds())
	switch {
	case n >= h.Required:
		return ""
	case n == 0:
		return "no authenticator that works offline there" + elsewhere
	}
	return "fewer kinds of authenticators work offline there than the policy asks for" + elsewhere
}

// Drops reports whether what a machine holds lets the user in with what, or
// when, he should not be let in any more. What is past its last day lets nobody
// in.
func Drops(held, due latchkey.Holding, now time.Time) bool {
	over := !now.Before(due.Until)
	return now.Before(held.Until) && slices.ContainsFunc(held.Tokens, func(t latchkey.HeldToken) bool { return over || !due.Holds(t.ID) })
}

// Lacks reports whether the next contact brings the machine something other
// than what it holds.
func Lacks(held, due latchkey.Holding, now time.Time) bool {
	if len(due.Tokens) == 0 || !now.Before(due.Until) {
		return false
	}
	other := !due.Until.Equal(held.Until) || due.Counted != held.Counted || due.Logins != held.Logins || due.Required != held.Required
	return other || slices.ContainsFunc(due.Tokens, func(t latchkey.HeldToken) bool { return !held.Holds(t.ID) })
}

// CodesLeft is how many codes of a token a machine holds still, as far as the
// owner's authenticators tell; counted is false where its codes do not run out
// by use, or it was removed and nobody counts them any more.
func CodesLeft(t latchkey.HeldToken, owned []Owned) (left int, counted bool) {
	if t.Kind != latchkey.HOTP || t.To == 0 {
		return 0, false
	}
	for _, o := range owned {
		if o.ID == t.ID {
			return int(t.To - min(o.Next, t.To)), true
		}
	}
	return 0, false
}
