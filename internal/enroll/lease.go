package enroll

import (
	"context"
	"slices"
	"strings"

	"latchkey"
	"latchkey/internal/api"
	"latchkey/internal/policy"
)

// MoveLease lets another machine hold the codes of a token from its next contact
// on. The one that holds them now drops them at its own next contact; what it uses
// until then still counts. A machine that would get no codes is refused, before
// the one that has them loses them.
func (e *Enroll) MoveLease(ctx context.Context, actor string, id latchkey.AuthenticatorID, machine string) (api.MovedLease, error) {
	u, held, err := e.store.Token(ctx, id)
	if err != nil {
		return api.MovedLease{}, err
	}
	if held.Kind != latchkey.HOTP {
		return api.MovedLease{}, errNoToken
	}
	m, err := e.machine(ctx, machine)
	if err != nil {
		return api.MovedLease{}, err
	}
	if err := e.getsCodes(ctx, u, m); err != nil {
		return api.MovedLease{}, err
	}
	enrolled, err := e.store.EnrolledOn(ctx, u.ID, m.ID)
	if err != nil {
		return api.MovedLease{}, err
	}
	event := e.event(latchkey.LeaseMoved, actor, u)
	event.Machine, event.Host = m.ID, m.Name
	event.Detail = map[string]string{"authenticator": string(id)}
	until, moved, err := e.store.MoveLease(ctx, id, m.ID, e.now().Add(latchkey.LeaseLife), event)
	return api.MovedLease{ID: id, Machine: m.Name, Until: until.UTC(), Moved: moved, WaitsForLogin: !enrolled}, err
}

// machine looks for a machine by name, or by id where it looks like one.
func (e *Enroll) machine(ctx context.Context, machine string) (latchkey.Machine, error) {
	m, err := e.store.MachineNamed(ctx, machine)
	if latchkey.CodeOf(err) != latchkey.NotFound || !strings.HasPrefix(machine, "mch_") {
		return m, err
	}
	if m, err = e.store.Machine(ctx, latchkey.MachineID(machine)); err == nil && m.State == latchkey.Removed {
		err = latchkey.Errorf(latchkey.NotFound, "the machine is removed")
	}
	return m, err
}

// getsCodes says why a machine would never be handed codes of a user's token.
func (e *Enroll) getsCodes(ctx context.Context, u latchkey.User, m latchkey.Machine) error {
	if m.State != latchkey.Active {
		return latchkey.Errorf(latchkey.Conflict, "the machine is %s: nothing is issued to it", m.State).
			WithHint("latchkey machine approve %s", m.Name)
	}
	policies, err := e.store.Policies(ctx)
	if err != nil {
		return err
	}
	return allowed(policy.Choose(policies, u), u, m)
}

// allowed says why a policy lets a machine hold no codes of a user's tokens.
func allowed(p *latchkey.Policy, u latchkey.User, m latchkey.Machine) error {
	why := ""
	switch {
	case p == nil:
		why = "no policy is for " + u.Name
	case !p.Offline.Enabled:
		why = "policy " + p.Name + " allows no logins offline"
	case p.Protected:
		why = u.Name + " is protected by policy " + p.Name + ": no machine holds codes"
	case !slices.Contains(p.Factors.Offline, latchkey.HOTP):
		why = "policy " + p.Name + " lists no hotp under factors.offline"
	case m.KeyClass.Rank() < p.MinKeyClass.Rank():
		why = "policy " + p.Name + " asks for keys of class " + string(p.MinKeyClass) + ", and the machine has class " + string(m.KeyClass)
	default:
		return nil
	}
	return latchkey.Errorf(latchkey.Conflict, "%s would get no codes: %s", m.Name, why).
		WithHint("latchkey policy explain %s %s --offline", u.Name, m.Name)
}
