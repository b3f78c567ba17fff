package fleet

import (
	"cmp"
	"context"
	"strings"
	"time"

	"latchkey"
	"latchkey/internal/api"
)

// Machines lists every machine that is not removed, by name. next is the key
// that the next page begins after; nil where there is none.
func (f *Fleet) Machines(ctx context.Context, p latchkey.Page) (page []api.Machine, next []string, err error) {
	all, err := f.store.Machines(ctx, p)
	all, next = latchkey.Cut(p, all, func(m latchkey.Machine) []string {
		return []string{latchkey.FoldName(m.Name), string(m.ID)}
	})
	out := []api.Machine{}
	for _, m := range all {
		out = append(out, wire(m))
	}
	return out, next, err
}

// Machine returns the machine with a name or id.
func (f *Fleet) Machine(ctx context.Context, machine string) (api.Machine, error) {
	m, err := f.find(ctx, machine)
	return wire(m), err
}

// find looks for a machine by id, where machine looks like one, or by name.
func (f *Fleet) find(ctx context.Context, machine string) (latchkey.Machine, error) {
	if strings.HasPrefix(machine, "mch_") { // no machine's name hides another's id
		m, err := f.store.Machine(ctx, latchkey.MachineID(machine))
		if latchkey.CodeOf(err) != latchkey.NotFound {
			return m, err
		}
	}
	return f.store.MachineNamed(ctx, machine)
}

// Approve lets a pending or quarantined machine in. By name the one that waits
// is meant, where another one in use bears the name too.
func (f *Fleet) Approve(ctx context.Context, actor, machine string) error {
	all, err := f.store.Machines(ctx, latchkey.Page{})
	if err != nil {
		return err
	}
	var waiting []latchkey.Machine
	for _, m := range all {
		named := latchkey.FoldName(m.Name) == latchkey.FoldName(machine) || string(m.ID) == machine
		if named && (m.State == latchkey.Pending || m.State == latchkey.Quarantined) {
			waiting = append(waiting, m)
		}
	}
	switch len(waiting) {
	case 0:
		if _, err := f.find(ctx, machine); err != nil {
			return err
		}
		return latchkey.Errorf(latchkey.Conflict, "the machine is neither pending nor quarantined")
	case 1:
		return f.store.ApproveMachine(ctx, waiting[0].ID, f.event(latchkey.MachineApproved, actor, waiting[0]))
	}
	return latchkey.Errorf(latchkey.Conflict, "several machines of that name wait").WithHint("name one by its id: latchkey machine list --json")
}

// Remove ends a machine for good.
func (f *Fleet) Remove(ctx context.Context, actor, machine string) error {
	m, err := f.find(ctx, machine)
	if err != nil {
		return err
	}
	return f.store.RemoveMachine(ctx, m.ID, f.event(latchkey.MachineRemovedEvent, actor, m))
}

// Change sets settings of a machine; absent fields stay.
func (f *Fleet) Change(ctx context.Context, actor, machine string, c api.MachineChange) (api.Machine, error) {
	m, err := f.find(ctx, machine)
	if err != nil {
		return api.Machine{}, err
	}
	e := f.event(latchkey.MachineChanged, actor, m)
	e.Detail["from"] = string(m.Settings.Mode)
	if m.Settings, err = f.changed(m.Settings, c); err != nil {
		return api.Machine{}, err
	}
	e.Detail["mode"] = string(m.Settings.Mode)
	if m.Settings.Mode == latchkey.Exempt {
		e.Detail["reason"] = m.Settings.ExemptReason
		e.Detail["until"] = "never"
		if u := m.Settings.ExemptUntil; !u.IsZero() {
			e.Detail["until"] = u.UTC().Format(time.RFC3339)
		}
	}
	if err := f.store.ChangeMachine(ctx, m.ID, m.Settings, e); err != nil {
		return api.Machine{}, err
	}
	return wire(m), nil
}

func (f *Fleet) changed(s latchkey.MachineSettings, c api.MachineChange) (latchkey.MachineSettings, error) {
	if c.Mode != nil {
		s.Mode, s.ExemptReason, s.ExemptUntil = *c.Mode, "", time.Time{}
	}
	if err := exempted(&s, c); err != nil {
		return s, err
	}
	set(&s.UnknownUsers, c.UnknownUsers)
	set(&s.MatchLocal, c.MatchLocal)
	set(&s.TrustOnEnforced, c.TrustEnforced)
	return s, f.check(s)
}

// exempted sets the reason and the end of an exemption. One without an end is
// asked for in so many words: forgetting it must not make it last for ever.
func exempted(s *latchkey.MachineSettings, c api.MachineChange) error {
	switch {
	case c.Reason != nil && c.ExemptReason != nil && *c.Reason != *c.ExemptReason:
		return latchkey.Errorf(latchkey.Invalid, "reason and exempt_reason are two names of one thing: give one")
	case c.ExemptUntil != nil && s.Mode != latchkey.Exempt:
		return errOnlyExempt
	case c.Mode != nil && *c.Mode == latchkey.Exempt && c.ExemptUntil == nil:
		return errNoEnd
	}
	if why := cmp.Or(c.Reason, c.ExemptReason); why != nil {
		s.ExemptReason = *why
		if err := latchkey.CheckLabel("reason", *why, maxReason); err != nil {
			return err
		}
	}
	if e := c.ExemptUntil; e != nil {
		if !e.Never && e.At.IsZero() {
			return errNoEnd
		}
		s.ExemptUntil = e.At
	}
	return nil
}

var (
	errOnlyExempt = latchkey.Errorf(latchkey.Invalid, "only an exemption has a reason and an end")
	errNoEnd      = latchkey.Errorf(latchkey.Invalid, "exempt_until is missing: an exemption needs an end").
			WithHint(`give a time, or "never" where it is meant to stay`)
)

func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

// maxReason is the longest reason of an exemption, in bytes.
const maxReason = 500

func (f *Fleet) check(s latchkey.MachineSettings) error {
	switch s.Mode {
	case latchkey.Enforce, latchkey.Default:
		if s.ExemptReason != "" || !s.ExemptUntil.IsZero() {
			return errOnlyExempt
		}
	case latchkey.Exempt:
		if strings.TrimSpace(s.ExemptReason) == "" || len(s.ExemptReason) > maxReason {
			return latchkey.Errorf(latchkey.Invalid, "an exemption needs a reason of up to %d bytes", maxReason)
		}
		if !s.ExemptUntil.IsZero() && !f.now().Before(s.ExemptUntil) {
			return latchkey.Errorf(latchkey.Invalid, "the end of the exemption is past")
		}
	default:
		return latchkey.Errorf(latchkey.Invalid, "the mode is not enforce, default or exempt")
	}
	if s.UnknownUsers != latchkey.Deny && s.UnknownUsers != latchkey.Skip {
		return latchkey.Errorf(latchkey.Invalid, "unknown_users is not deny or skip")
	}
	return nil
}

func (f *Fleet) event(kind latchkey.EventKind, actor string, m latchkey.Machine) latchkey.Event {
	return latchkey.Event{Time: f.now(), Kind: kind, Actor: actor, Machine: m.ID, Host: m.Name, Detail: map[string]string{}}
}

// wire is a machine as scripts see it.
func wire(m latchkey.Machine) api.Machine {
	s := m.Settings
	return api.Machine{
		ID: m.ID, Name: m.Name, Mode: s.Mode, State: m.State, ExemptUntil: instant(s.ExemptUntil), ExemptReason: s.ExemptReason,
		UnknownUsers: s.UnknownUsers, MatchLocal: s.MatchLocal, TrustEnforced: s.TrustOnEnforced,
		OS: m.OS, AgentVersion: m.AgentVersion, LastContact: instant(m.LastContact), KeyClass: m.KeyClass,
	}
}

func instant(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
