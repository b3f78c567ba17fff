package settings

import (
	"context"
	"slices"
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
	p := policy.Choose(all, u)
	return explained(p, m, facts(u, m, scenario, p, standing, s.now())), nil
}

// facts are those of a logon that begins now. What only the machine knows (its
// clock, its trust tickets) reads as nothing out of the ordinary.
func facts(u latchkey.User, m latchkey.Machine, sc latchkey.Scenario, p *latchkey.Policy, st Standing, now time.Time) policy.Facts {
	return policy.Facts{
		Now: now, Scenario: sc, Signed: true, Policy: p, Usable: st.Kinds, Locked: st.Locked,
		Machine: policy.Machine{Removed: m.State == latchkey.Removed, Settings: m.Settings, KeyClass: m.KeyClass},
		User:    policy.User{Known: true, Disabled: u.Disabled},
		Local:   local(p, m, st.Enrollment, now),
	}
}

func local(p *latchkey.Policy, m latchkey.Machine, e *latchkey.Enrollment, now time.Time) policy.Local {
	if p == nil || e == nil || e.Removed || e.Anchor.IsZero() {
		return policy.Local{}
	}
	limit := p.Limit(m.KeyClass)
	return policy.Local{
		Enrolled:    true,
		LastDayOver: !now.Before(e.Anchor.Add(time.Duration(limit.Days) * 24 * time.Hour)),
		UsedUp:      limit.Counted && e.Uses >= limit.Logins,
	}
}

func explained(p *latchkey.Policy, m latchkey.Machine, f policy.Facts) api.Explained {
	x := policy.Explain(f, f)
	out := api.Explained{Online: explanation(x.Online), Offline: explanation(x.Offline), Rows: []api.ExplainedRow{}}
	for _, r := range x.Rows {
		out.Rows = append(out.Rows, api.ExplainedRow{Row: r.Row, State: r.State, Online: r.Online, Offline: r.Offline})
	}
	if p != nil {
		out.Policy = p.Name
		out.Notes = append(policy.Clamped(*p, m.KeyClass), policy.Lint(*p)...)
	}
	if m.State != latchkey.Active {
		out.Notes = append(out.Notes, "the machine is "+string(m.State)+": it is issued nothing")
	}
	return out
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
