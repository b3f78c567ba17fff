package report

import (
	"slices"
	"time"

	"latchkey"
	"latchkey/internal/policy"
)

// What a machine has not acknowledged yet.
const (
	PendingIssue   = "issue"   // it has not confirmed what it should hold by now
	PendingRemoval = "removal" // it has not confirmed that it dropped what it should not hold any more
)

// A standing is what a machine holds of a user, and what it should hold.
type standing struct {
	row       Row
	now       time.Time
	confirmed latchkey.Holding // the machine said that it holds this
	issued    latchkey.Holding // the newest that was made; it may hold this
	due       latchkey.Holding // what the facts ask for now
	why       string           // due is not enough for a login; "" where it is
}

func stand(r Row, p *latchkey.Policy, now time.Time) standing {
	c := policy.Claim{
		Policy: p, Disabled: r.User.Disabled, Enrolled: !r.Enrollment.Removed, Machine: r.Machine.ID, Class: r.Machine.KeyClass,
		Anchor: r.Enrollment.Anchor, Now: now, Owned: r.Owned,
	}
	s := standing{row: r, now: now}
	s.due, s.why = c.Due()
	c.Disabled, c.Enrolled = false, true
	older, _ := c.Due() // what a header of an older server gave, as near as can be told
	e := r.Enrollment
	if e.Version > 0 {
		s.issued = known(e.Issued, older)
	}
	if e.Acked > 0 {
		s.confirmed = known(e.Holds, older)
	}
	return s
}

func known(h *latchkey.Holding, older latchkey.Holding) latchkey.Holding {
	if h == nil {
		h = &older
	}
	if len(h.Tokens) == 0 {
		return latchkey.Holding{}
	}
	return *h
}

// most is what the machine may go by: of what it confirmed and what it was
// issued since the one that lasts longer.
func (s standing) most() latchkey.Holding {
	if s.issued.Until.After(s.confirmed.Until) {
		return s.issued
	}
	return s.confirmed
}

// pending is what the machine has yet to acknowledge. What is past its last day
// lets nobody in, and is not waited for.
func (s standing) pending() string {
	e := s.row.Enrollment
	switch {
	case e.Removed || s.drops(s.confirmed) || e.Acked < e.Version && s.drops(s.issued):
		return PendingRemoval
	case e.Acked < e.Version || s.row.Machine.State == latchkey.Active && policy.Lacks(s.confirmed, s.due, s.now):
		return PendingIssue
	}
	return ""
}

func (s standing) drops(h latchkey.Holding) bool { return policy.Drops(h, s.due, s.now) }

func (s standing) codes(t latchkey.HeldToken) (left int, counted bool) {
	return policy.CodesLeft(t, s.row.Owned)
}

// left is how many logins a holding is good for: those of the allowance, or the
// codes of hardware tokens where there are too few kinds without them.
func (s standing) left(h latchkey.Holding) (n int, counted bool) {
	if len(h.Tokens) == 0 {
		return 0, true
	}
	n, counted = max(0, h.Logins-s.row.Enrollment.Uses), h.Counted
	if codes, ok := s.bound(h); ok && (!counted || codes < n) {
		return codes, true
	}
	return n, counted
}

// bound is how many codes are left of the tokens that every login takes one of;
// ok is false where a login takes none.
func (s standing) bound(h latchkey.Holding) (codes int, ok bool) {
	kinds := h.Kinds()
	if others := slices.DeleteFunc(slices.Clone(kinds), isToken); len(others) == len(kinds) || len(others) >= h.Required {
		return 0, false
	}
	for _, t := range h.Tokens {
		left, counted := s.codes(t)
		if isToken(t.Kind) && !counted {
			return 0, false // of one nobody counts the codes
		}
		codes += left
	}
	return codes, true
}

func isToken(k latchkey.Kind) bool { return k == latchkey.HOTP }

// notReady says why the user cannot, or should not, log in there without the
// server; "" where he can.
func (s standing) notReady() string {
	left, counted := s.left(s.confirmed)
	switch {
	case s.why != "":
		return s.why
	case len(s.confirmed.Tokens) == 0 && s.row.Machine.State != latchkey.Active:
		return "the machine is " + string(s.row.Machine.State) + ": it is issued nothing"
	case len(s.confirmed.Tokens) == 0:
		return "the machine has not confirmed yet that it holds his codes"
	case !s.now.Before(s.confirmed.Until):
		return "the offline days are over: an online login there begins them anew"
	case counted && left == 0:
		return s.usedUp()
	case len(s.usable()) < s.confirmed.Required:
		return "what the machine holds is not what it should hold: wait for its next contact"
	}
	return ""
}

func (s standing) usedUp() string {
	if h := s.confirmed; h.Counted && s.row.Enrollment.Uses >= h.Logins {
		return "the offline logins are used up: an online login there begins them anew"
	}
	return "the machine holds no more codes of the hardware token: they come with its next contact"
}

// usable are the kinds that the machine holds and should hold.
func (s standing) usable() []latchkey.Kind {
	both := latchkey.Holding{}
	for _, t := range s.confirmed.Tokens {
		if left, counted := s.codes(t); s.due.Holds(t.ID) && (!counted || left > 0) {
			both.Tokens = append(both.Tokens, t)
		}
	}
	return both.Kinds()
}
