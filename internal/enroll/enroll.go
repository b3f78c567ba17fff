// Package enroll gives users their authenticators and takes them away, and ends
// offline logons on machines.
//
// It refuses to show a secret twice: what it returns at creation is not kept in
// readable form anywhere.
package enroll

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"time"

	"latchkey"
	"latchkey/internal/api"
	"latchkey/internal/otp"
	"latchkey/internal/secret"
	"latchkey/internal/verify"
)

// Store is the part of the database that enrolling needs. Methods that change
// something write the event in the same transaction.
type Store interface {
	// UserNamed returns the user with a name or id; NotFound where there is none.
	UserNamed(ctx context.Context, name string) (latchkey.User, error)
	// MachineNamed and Machine return NotFound where there is none.
	MachineNamed(ctx context.Context, name string) (latchkey.Machine, error)
	Machine(ctx context.Context, id latchkey.MachineID) (latchkey.Machine, error)
	// Policies returns all of them.
	Policies(ctx context.Context) ([]latchkey.Policy, error)
	// EnrolledOn reports whether a user may log in offline on a machine, as far as
	// he has logged in there and was not disenrolled since.
	EnrolledOn(ctx context.Context, u latchkey.UserID, m latchkey.MachineID) (bool, error)
	// AddAuthenticator stores an authenticator with its seed and names it. It
	// returns Conflict where the user has MaxAuthenticators already.
	AddAuthenticator(ctx context.Context, a latchkey.Authenticator, seed secret.Bytes, next uint64, e latchkey.Event) (latchkey.AuthenticatorID, error)
	// RemoveAuthenticator returns NotFound where the user has no such one.
	RemoveAuthenticator(ctx context.Context, u latchkey.UserID, id latchkey.AuthenticatorID, e latchkey.Event) error
	// Token returns an authenticator and whose it is; NotFound where there is none.
	Token(ctx context.Context, id latchkey.AuthenticatorID) (latchkey.User, verify.Held, error)
	// Advance moves a counter upwards. Conflict where it moved meanwhile.
	Advance(ctx context.Context, id latchkey.AuthenticatorID, from, to uint64, e latchkey.Event) error
	// MoveLease gives a token's lease to a machine, whoever had it. The event's
	// detail gets where it was. A machine that has it keeps it as it is, and no
	// event is written: moved is false. It returns until when it has it.
	MoveLease(ctx context.Context, id latchkey.AuthenticatorID, to latchkey.MachineID, until time.Time, e latchkey.Event) (ends time.Time, moved bool, err error)
	// Disenroll returns NotFound where the user is not enrolled there.
	Disenroll(ctx context.Context, u latchkey.UserID, m latchkey.MachineID, e latchkey.Event) error
}

// MaxAuthenticators is how many authenticators one user may have: every one is
// another chance for a guess.
const MaxAuthenticators = 10

// DefaultIssuer is the name that authenticator apps show.
const DefaultIssuer = "Latchkey"

// An Enroll hands out authenticators.
type Enroll struct {
	store Store
	now   func() time.Time
	rand  io.Reader
}

// New returns a room that stores what it hands out in s.
func New(s Store, now func() time.Time, rand io.Reader) *Enroll { return &Enroll{s, now, rand} }

// AddAuthenticator adds a TOTP or HOTP authenticator: one that exists, where in
// holds its address or secret, else a new one.
func (e *Enroll) AddAuthenticator(ctx context.Context, actor, user string, in api.AddAuthenticator) (api.NewAuthenticator, error) {
	u, err := e.store.UserNamed(ctx, user)
	if err != nil {
		return api.NewAuthenticator{}, err
	}
	key, err := e.key(in)
	if err != nil {
		return api.NewAuthenticator{}, err
	}
	defer key.Secret.Wipe()
	a := latchkey.Authenticator{
		User: u.ID, Kind: in.Kind, Label: label(in, key), Algorithm: key.Algorithm.String(), Digits: key.Digits,
		Period: key.Period, CreatedAt: e.now(),
	}
	event := e.event(latchkey.AuthenticatorAdded, actor, u)
	event.Detail = map[string]string{"kind": string(a.Kind), "label": a.Label, "digits": strconv.Itoa(a.Digits)}
	id, err := e.store.AddAuthenticator(ctx, a, key.Secret, key.Counter, event)
	if err != nil {
		return api.NewAuthenticator{}, fmt.Errorf("adding authenticator: %w", err)
	}
	if key.Issuer == "" {
		key.Issuer = DefaultIssuer
	}
	if key.Account == "" {
		key.Account = u.Name
	}
	return api.NewAuthenticator{ID: id, URI: key.URI(), Secret: otp.Base32(key.Secret)}, nil
}

func label(in api.AddAuthenticator, key otp.Key) string {
	if in.Label != "" {
		return in.Label
	}
	return key.Account
}

// RemoveAuthenticator takes an authenticator away for good.
func (e *Enroll) RemoveAuthenticator(ctx context.Context, actor, user string, id latchkey.AuthenticatorID) error {
	u, err := e.store.UserNamed(ctx, user)
	if err != nil {
		return err
	}
	event := e.event(latchkey.AuthenticatorRemoved, actor, u)
	event.Detail = map[string]string{"authenticator": string(id)}
	return e.store.RemoveAuthenticator(ctx, u.ID, id, event)
}

// Disenroll ends a user's offline logons on a machine. The machine wipes what
// it holds at its next contact.
func (e *Enroll) Disenroll(ctx context.Context, actor, user, machine string) error {
	u, err := e.store.UserNamed(ctx, user)
	if err != nil {
		return err
	}
	m, err := e.store.MachineNamed(ctx, machine)
	if err != nil {
		return err
	}
	event := e.event(latchkey.EnrollmentRemoved, actor, u)
	event.Machine, event.Host = m.ID, m.Name
	return e.store.Disenroll(ctx, u.ID, m.ID, event)
}

func (e *Enroll) event(kind latchkey.EventKind, actor string, u latchkey.User) latchkey.Event {
	return latchkey.Event{Time: e.now(), Kind: kind, Actor: actor, User: u.ID, UserName: u.Name}
}
