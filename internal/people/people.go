// Package people keeps the users of the built-in directory: who they are,
// which groups they are in, whether they may log in.
//
// It refuses to know secrets and to decide logons.
package people

import (
	"context"
	"slices"
	"strings"
	"time"

	"latchkey"
	"latchkey/internal/api"
)

// MaxGroups is the most groups one user can be in.
const MaxGroups = 100

// Store is the part of the database that people needs. All methods that change
// something write the event in the same transaction.
type Store interface {
	// AddUser returns Conflict where the directory has the name, in any case.
	AddUser(ctx context.Context, u latchkey.User, e latchkey.Event) (latchkey.User, error)
	// Users returns everybody, by name: of a page, whose key is folded name and
	// id, its rows and one more.
	Users(ctx context.Context, p latchkey.Page) ([]latchkey.User, error)
	// UserNamed returns NotFound where nobody has the name.
	UserNamed(ctx context.Context, name string) (latchkey.User, error)
	// AuthenticatorsOf returns what the user has, AuthenticatorsBetween what those
	// have whose folded names are from first to last.
	AuthenticatorsOf(ctx context.Context, id latchkey.UserID) ([]latchkey.Authenticator, error)
	AuthenticatorsBetween(ctx context.Context, first, last string) ([]latchkey.Authenticator, error)
	SetDisabled(ctx context.Context, id latchkey.UserID, disabled bool, e latchkey.Event) error
	SetGroups(ctx context.Context, id latchkey.UserID, groups []string, e latchkey.Event) error
	// DeleteUser ends a user for good: authenticators and offline enrollments
	// go with him, machines learn of it at their next contact.
	DeleteUser(ctx context.Context, id latchkey.UserID, e latchkey.Event) error
	// UnlockUser clears the failures and delays of all his authenticators.
	UnlockUser(ctx context.Context, id latchkey.UserID, e latchkey.Event) error
}

// People are the users of a deployment.
type People struct {
	store Store
	now   func() time.Time
}

// New returns the users kept in store.
func New(store Store, now func() time.Time) *People { return &People{store, now} }

// Add makes a user of the built-in directory.
func (p *People) Add(ctx context.Context, actor string, in api.AddUser) (api.User, error) {
	if err := latchkey.CheckName(in.Name); err != nil {
		return api.User{}, err
	}
	if strings.HasPrefix(latchkey.FoldName(in.Name), "group:") {
		return api.User{}, latchkey.Errorf(latchkey.Invalid, "a user's name does not begin with group: policies would take it for a group")
	}
	groups, err := tidyGroups(in.Groups)
	if err != nil {
		return api.User{}, err
	}
	u := latchkey.User{Name: in.Name, Directory: latchkey.Builtin, Groups: groups}
	u, err = p.store.AddUser(ctx, u, p.event(actor, latchkey.UserAdded, u))
	if err != nil {
		return api.User{}, err
	}
	return shown(u, nil), nil
}

// tidyGroups refuses what cannot be a group and drops repetitions.
func tidyGroups(groups []string) ([]string, error) {
	if len(groups) > MaxGroups {
		return nil, latchkey.Errorf(latchkey.Invalid, "more than %d groups", MaxGroups)
	}
	out := []string{}
	for i, g := range groups {
		if err := latchkey.CheckName(g); err != nil {
			return nil, latchkey.Errorf(latchkey.Invalid, "group %d: %v", i+1, err)
		}
		if !slices.ContainsFunc(out, func(o string) bool { return latchkey.FoldName(o) == latchkey.FoldName(g) }) {
			out = append(out, g)
		}
	}
	return out, nil
}

// List returns everybody, by name. next is the key that the next page begins
// after; nil where there is none.
func (p *People) List(ctx context.Context, page latchkey.Page) (list []api.User, next []string, err error) {
	users, err := p.store.Users(ctx, page)
	if err != nil || len(users) == 0 {
		return []api.User{}, nil, err
	}
	users, next = latchkey.Cut(page, users, func(u latchkey.User) []string {
		return []string{latchkey.FoldName(u.Name), string(u.ID)}
	})
	all, err := p.store.AuthenticatorsBetween(ctx, latchkey.FoldName(users[0].Name), latchkey.FoldName(users[len(users)-1].Name))
	if err != nil {
		return nil, nil, err
	}
	of := map[latchkey.UserID][]latchkey.Authenticator{}
	for _, a := range all {
		of[a.User] = append(of[a.User], a)
	}
	out := make([]api.User, 0, len(users))
	for _, u := range users {
		out = append(out, shown(u, of[u.ID]))
	}
	return out, next, nil
}

// Show returns one user.
func (p *People) Show(ctx context.Context, name string) (api.User, error) {
	u, err := p.store.UserNamed(ctx, name)
	if err != nil {
		return api.User{}, err
	}
	has, err := p.store.AuthenticatorsOf(ctx, u.ID)
	if err != nil {
		return api.User{}, err
	}
	return shown(u, has), nil
}

// Disable refuses the user's logons, offline from the machine's next contact.
func (p *People) Disable(ctx context.Context, actor, name string) error {
	return p.change(ctx, actor, name, latchkey.UserDisabled, func(id latchkey.UserID, e latchkey.Event) error {
		return p.store.SetDisabled(ctx, id, true, e)
	})
}

// Enable ends Disable.
func (p *People) Enable(ctx context.Context, actor, name string) error {
	return p.change(ctx, actor, name, latchkey.UserEnabled, func(id latchkey.UserID, e latchkey.Event) error {
		return p.store.SetDisabled(ctx, id, false, e)
	})
}

// Delete ends a user for good.
func (p *People) Delete(ctx context.Context, actor, name string) error {
	return p.change(ctx, actor, name, latchkey.UserDeleted, func(id latchkey.UserID, e latchkey.Event) error {
		return p.store.DeleteUser(ctx, id, e)
	})
}

// Unlock opens a lock that wrong answers closed, with its delays.
func (p *People) Unlock(ctx context.Context, actor, name string) error {
	return p.change(ctx, actor, name, latchkey.UserUnlocked, func(id latchkey.UserID, e latchkey.Event) error {
		return p.store.UnlockUser(ctx, id, e)
	})
}

// SetGroups replaces the user's groups, and with them the policies that match.
func (p *People) SetGroups(ctx context.Context, actor, name string, groups []string) error {
	tidy, err := tidyGroups(groups)
	if err != nil {
		return err
	}
	return p.change(ctx, actor, name, latchkey.UserChanged, func(id latchkey.UserID, e latchkey.Event) error {
		return p.store.SetGroups(ctx, id, tidy, e)
	})
}

func (p *People) change(ctx context.Context, actor, name string, kind latchkey.EventKind, do func(latchkey.UserID, latchkey.Event) error) error {
	u, err := p.store.UserNamed(ctx, name)
	if err != nil {
		return err
	}
	return do(u.ID, p.event(actor, kind, u))
}

func (p *People) event(actor string, kind latchkey.EventKind, u latchkey.User) latchkey.Event {
	return latchkey.Event{Time: p.now(), Kind: kind, Actor: actor, User: u.ID, UserName: u.Name}
}

func shown(u latchkey.User, has []latchkey.Authenticator) api.User {
	out := api.User{
		ID: u.ID, Name: u.Name, Directory: u.Directory, Disabled: u.Disabled,
		Groups: append([]string{}, u.Groups...), Authenticators: []api.Authenticator{},
	}
	for _, a := range has {
		out.Authenticators = append(out.Authenticators, Shown(a))
	}
	return out
}

// Shown is an authenticator as scripts see it.
func Shown(a latchkey.Authenticator) api.Authenticator {
	out := api.Authenticator{
		ID: a.ID, Kind: a.Kind, Label: a.Label, Algorithm: a.Algorithm,
		Digits: a.Digits, Period: a.Period, CreatedAt: a.CreatedAt.UTC(),
	}
	if !a.LastUsed.IsZero() {
		at := a.LastUsed.UTC()
		out.LastUsed = &at
	}
	if a.Lease != nil {
		out.Lease = &api.Lease{Machine: a.Lease.Host, Until: a.Lease.Until.UTC()}
	}
	return out
}
