package settings

import (
	"context"
	"slices"
	"strings"
	"time"

	"latchkey"
	"latchkey/internal/api"
	"latchkey/internal/policy"
)

// Subject finds what an explanation is about.
type Subject interface {
	// UserNamed returns NotFound where no user has the name.
	UserNamed(ctx context.Context, name string) (latchkey.User, error)
	// MachineNamed returns NotFound where no machine has the name.
	MachineNamed(ctx context.Context, name string) (latchkey.Machine, error)
	// Standing returns what counts against and for a user on a machine.
	Standing(ctx context.Context, user latchkey.UserID, machine latchkey.MachineID) (Standing, error)
}

// Standing is where a user stands on one machine.
type Standing struct {
	Kinds      []latchkey.Kind // that the user has authenticators of
	Locked     bool
	Owned      []policy.Owned       // those authenticators
	Enrollment *latchkey.Enrollment // nil: not enrolled for offline logons here
}

// Explain says what a logon of the user on the machine would meet now, with
// the server and without it, and which row of the outcome table decides.
func (s *Settings) Explain(ctx context.Context, user, machine string, scenario latchkey.Scenario) (api.Explained, error) {
	var none api.Explained
	if !slices.Contains(latchkey.Scenarios, scenario) {
		return none, latchkey.Errorf(latchkey.Invalid, "no such scenario").WithHint("the scenarios are console, unlock, elevate, remote, remote-client")
	}
	u, err := s.store.UserNamed(ctx, user)
	if err != nil {
		return none, err
	}
	m, err := s.store.MachineNamed(ctx, machine)
	if err != nil {
		return none, err
	}
	standing, err := s.store.Standing(ctx, u.ID, m.ID)
	if err != nil {
		return none, err
	}
	all, err := s.store.Policies(ctx)
	if err != nil {
		return none, err
	}
	c := claim(u, m, policy.Choose(all, u), standing, s.now())
	online, offline := facts(u, m, scenario, c, standing)
	return explained(m, c, standing, online, offline), nil
}

// claim is what decides which codes of the user the machine should hold.
func claim(u latchkey.User, m latchkey.Machine, p *latchkey.Policy, st Standing, now time.Time) policy.Claim {
	c := policy.Claim{Policy: p, Disabled: u.Disabled, Machine: m.ID, Class: m.KeyClass, Now: now, Owned: st.Owned}
	if e := st.Enrollment; e != nil {
		c.Enrolled, c.Anchor = !e.Removed, e.Anchor
	}
	return c
}

// facts are those of a logon that begins now, on a machine that has heard of
// everything. What only it knows (its clock, its trust tickets) reads as nothing
// out of the ordinary.
func facts(u latchkey.User, m latchkey.Machine, sc latchkey.Scenario, c policy.Claim, st Standing) (online, offline policy.Facts) {
	online = policy.Facts{
		Now: c.Now, Scenario: sc, Signed: true, Policy: c.Policy, Usable: st.Kinds, Locked: st.Locked,
		Machine: policy.Machine{Removed: m.State == latchkey.Removed, Settings: m.Settings, KeyClass: m.KeyClass},
		User:    policy.User{Known: true, Disabled: u.Disabled},
	}
	due, _ := c.Due()
	offline = online
	offline.Usable, offline.Local = due.Kinds(), local(due, c, st)
	return online, offline
}

func local(due latchkey.Holding, c policy.Claim, st Standing) policy.Local {
	if len(due.Tokens) == 0 {
		return policy.Local{}
	}
	return policy.Local{
		Enrolled:    true,
		LastDayOver: !c.Now.Before(due.Until),
		UsedUp:      due.Counted && st.Enrollment.Uses >= due.Logins,
		TokenUsedUp: tokenUsedUp(st),
	}
}

// tokenUsedUp: the machine holds codes of hardware tokens, and all of them were
// used.
func tokenUsedUp(st Standing) bool {
	has := false
	if h := st.Enrollment.Holds; h != nil {
		for _, t := range h.Tokens {
			left, counted := policy.CodesLeft(t, st.Owned)
			if counted && left > 0 {
				return false
			}
			has = has || counted
		}
	}
	return has
}

func explained(m latchkey.Machine, c policy.Claim, st Standing, online, offline policy.Facts) api.Explained {
	x := policy.Explain(online, offline)
	out := api.Explained{Online: explanation(x.Online), Offline: explanation(x.Offline), Rows: []api.ExplainedRow{}}
	for _, r := range x.Rows {
		out.Rows = append(out.Rows, api.ExplainedRow{Row: r.Row, State: r.State, Online: r.Online, Offline: r.Offline})
	}
	if p := c.Policy; p != nil {
		out.Policy = p.Name
		out.Notes = append(policy.Clamped(*p, m.KeyClass), policy.Lint(*p)...)
	}
	if m.State != latchkey.Active {
		out.Notes = append(out.Notes, "the machine is "+string(m.State)+": it is issued nothing")
	}
	out.Notes = append(out.Notes, notes(c, st)...)
	return out
}

// notes say what the machine holds, where that is something else than what it
// should, and what the server cannot know.
func notes(c policy.Claim, st Standing) []string {
	var out []string
	due, why := c.Due()
	if why != "" && !slices.Contains(clamps(c), why) {
		out = append(out, "offline: "+why)
	}
	if e := st.Enrollment; e != nil {
		if held, ok := confirmed(*e); ok && (policy.Drops(held, due, c.Now) || policy.Lacks(held, due, c.Now)) {
			out = append(out, "until its next contact the machine goes by what it holds: "+inWords(held))
		}
	}
	return append(out, unknowns+since(st.Enrollment))
}

// clamps are the remarks on what the machine's keys keep from the policy.
func clamps(c policy.Claim) []string {
	if c.Policy == nil {
		return nil
	}
	return policy.Clamped(*c.Policy, c.Class)
}

// unknowns are the facts of a logon that a server does not have.
const unknowns = "not looked at, because only the machine knows it: trust, grace, its clock, wrong codes there, and what was used there since its last report"

func since(e *latchkey.Enrollment) string {
	if e == nil || e.LastSynced.IsZero() {
		return ""
	}
	return " (" + e.LastSynced.UTC().Format(time.RFC3339) + ")"
}

// confirmed is what the machine said that it holds; ok is false where the server
// does not know.
func confirmed(e latchkey.Enrollment) (h latchkey.Holding, ok bool) {
	if e.Acked == 0 {
		return h, true
	}
	if e.Holds == nil {
		return h, false
	}
	return *e.Holds, true
}

func inWords(h latchkey.Holding) string {
	if len(h.Tokens) == 0 {
		return "nothing"
	}
	var names []string
	for _, k := range h.Kinds() {
		names = append(names, string(k))
	}
	return strings.Join(names, " ") + ", until " + h.Until.UTC().Format(time.RFC3339)
}

func explanation(d policy.Decision) api.Explanation {
	e := api.Explanation{Outcome: string(d.Outcome()), Reason: d.Reason, Ask: []latchkey.Kind{}, Row: d.Row}
	switch d.Action {
	case policy.Ask:
		e.Outcome, e.Ask = "ask", append(e.Ask, d.Kinds...)
	case policy.Enroll:
		e.Outcome = "enroll"
	}
	return e
}
