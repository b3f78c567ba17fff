package latchkey

import (
	"slices"
	"strings"
	"time"
)

// A Role says what an administrator may do. The empty and any unknown role may
// do nothing.
type Role string

// The roles.
const (
	Owner         Role = "owner"    // everything
	Administrator Role = "admin"    // users, machines and policies
	HelpDesk      Role = "helpdesk" // what people need who cannot get in; nothing about administrators
	Auditor       Role = "auditor"  // reads everything, changes nothing
)

// Roles are all roles, the mightiest first.
var Roles = []Role{Owner, Administrator, HelpDesk, Auditor}

// A Scope narrows an API token to a part of what its owner's role may do.
type Scope string

// The scopes.
const (
	ReadScope     Scope = "read"
	UsersScope    Scope = "users"    // changes to users, authenticators and enrollments
	MachinesScope Scope = "machines" // changes to machines, enrollment tokens
	PoliciesScope Scope = "policies" // changes to policies
	TokensScope   Scope = "tokens"   // making and revoking API tokens
)

// Scopes are all scopes.
var Scopes = []Scope{ReadScope, UsersScope, MachinesScope, PoliciesScope, TokensScope}

// Kinds of audit event about administrators and their server.
const (
	BackupMade     EventKind = "server.backed_up"
	ServerRestored EventKind = "server.restored"

	AdminDisabled EventKind = "admin.disabled"
	TokenCreated  EventKind = "token.created"
	TokenRevoked  EventKind = "token.revoked"
)

// An Admin is an administrator.
type Admin struct {
	ID        string
	Name      string
	Role      Role
	Disabled  bool
	CreatedAt time.Time
}

// An APIToken is the right to act for an administrator.
type APIToken struct {
	ID        string
	Admin     Admin
	Label     string
	Scopes    []Scope // empty: all that the role may
	CreatedAt time.Time
	ExpiresAt time.Time // zero: when it is revoked
}

// Covers reports whether the token's scopes hold one. A token without scopes
// has all of them.
func (t APIToken) Covers(s Scope) bool {
	return len(t.Scopes) == 0 || slices.Contains(t.Scopes, s)
}

// ParseRole reads a role.
func ParseRole(s string) (Role, error) {
	if r := Role(s); slices.Contains(Roles, r) {
		return r, nil
	}
	return "", Errorf(Invalid, "a role is owner, admin, helpdesk or auditor")
}

// ParseScopes reads scopes as they are stored, parted by spaces. None are all.
func ParseScopes(s string) ([]Scope, error) { return scopes(strings.Fields(s)) }

// NamedScopes reads scopes that somebody asked for, one by one. Only who asks
// for none at all (nil) gets all: a list that came out empty is a slip of what
// made it, and would be worth the most.
func NamedScopes(words []string) ([]Scope, error) {
	if words != nil && len(words) == 0 {
		return nil, Errorf(Invalid, "the list of scopes is empty").WithHint("name some, or leave it out for all that you may")
	}
	return scopes(words)
}

func scopes(words []string) ([]Scope, error) {
	var out []Scope
	for _, w := range words {
		sc := Scope(w)
		if !slices.Contains(Scopes, sc) {
			return nil, Errorf(Invalid, "a scope is read, users, machines, policies or tokens")
		}
		if !slices.Contains(out, sc) {
			out = append(out, sc)
		}
	}
	return out, nil
}
