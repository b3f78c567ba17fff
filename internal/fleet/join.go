package fleet

import (
	"context"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	"latchkey"
	"latchkey/internal/api"
	"latchkey/internal/seal"
)

// Limits of an enrollment token.
const (
	DefaultTTL = 24 * time.Hour
	MaxTTL     = 30 * 24 * time.Hour
	MaxUses    = 100_000
)

// A Ticket is an enrollment token as the server keeps it.
type Ticket struct {
	ID          string
	Hash        []byte
	Uses        int
	Left        int // of them
	Actor       string
	NamePattern string // of the machines that may join with it; "" any
	Approve     bool   // they wait for approval
	CreatedAt   time.Time
	ExpiresAt   time.Time
}

// NameFits reports whether a machine's name is one that a pattern means: * is
// any run of characters, ? any one, in whatever case. A pattern that cannot be
// read means none.
func NameFits(pattern, name string) bool {
	if pattern == "" {
		return true
	}
	ok, err := path.Match(latchkey.FoldName(pattern), latchkey.FoldName(name))
	return ok && err == nil
}

// checkPattern refuses a pattern that cannot be meant.
func checkPattern(pattern string) error {
	if pattern == "" {
		return nil
	}
	if _, err := path.Match(pattern, ""); err != nil || latchkey.CheckName(pattern) != nil || strings.Contains(pattern, "/") {
		return latchkey.Errorf(latchkey.Invalid, "the pattern of names cannot be read").WithHint("* is any run of characters, ? any one: lab-*")
	}
	return nil
}

// CreateToken makes a token with which machines join.
func (f *Fleet) CreateToken(ctx context.Context, actor string, in api.CreateToken) (api.Token, error) {
	uses, ttl := in.Uses, time.Duration(in.TTLSeconds)*time.Second
	if uses == 0 {
		uses = 1
	}
	if in.TTLSeconds == 0 {
		ttl = DefaultTTL
	}
	switch {
	case uses < 1 || uses > MaxUses:
		return api.Token{}, latchkey.Errorf(latchkey.Invalid, "a token has 1 to %d uses", MaxUses)
	case in.TTLSeconds < 0 || in.TTLSeconds > int(MaxTTL/time.Second):
		return api.Token{}, latchkey.Errorf(latchkey.Invalid, "a token lives 30 days at most")
	}
	if err := checkPattern(in.NamePattern); err != nil {
		return api.Token{}, err
	}
	secret := make([]byte, api.TokenSecretSize)
	if _, err := io.ReadFull(f.rand, secret); err != nil {
		return api.Token{}, fmt.Errorf("making a token: %w", err)
	}
	expires := f.now().Add(ttl).Truncate(time.Second).UTC()
	token, text, err := api.NewToken(f.door.URLs, f.door.Pin, secret, expires)
	if err != nil {
		return api.Token{}, err
	}
	e := latchkey.Event{
		Time: f.now(), Kind: latchkey.MachineTokenCreated, Actor: actor,
		Detail: map[string]string{"uses": fmt.Sprint(uses), "expires": expires.Format(time.RFC3339)},
	}
	if in.NamePattern != "" {
		e.Detail["names"] = in.NamePattern
	}
	if in.Approve {
		e.Detail["approve"] = "yes"
	}
	t := Ticket{Hash: seal.HashToken(token.Secret), Uses: uses, Actor: actor, ExpiresAt: expires, NamePattern: in.NamePattern, Approve: in.Approve}
	if err := f.store.CreateMachineToken(ctx, t, e); err != nil {
		return api.Token{}, err
	}
	return api.Token{Token: text, ExpiresAt: expires, Uses: uses, NamePattern: in.NamePattern, Approve: in.Approve}, nil
}

// Tokens lists the tokens with which machines can still join.
func (f *Fleet) Tokens(ctx context.Context) ([]api.MachineToken, error) {
	all, err := f.store.MachineTokens(ctx)
	out := make([]api.MachineToken, 0, len(all))
	for _, t := range all {
		out = append(out, api.MachineToken{
			ID: t.ID, CreatedBy: t.Actor, CreatedAt: t.CreatedAt, ExpiresAt: t.ExpiresAt,
			Uses: t.Uses, UsesLeft: t.Left, NamePattern: t.NamePattern, Approve: t.Approve,
		})
	}
	return out, err
}

// RevokeToken ends a token before its time. Machines that joined with it stay.
func (f *Fleet) RevokeToken(ctx context.Context, actor, id string) error {
	return f.store.RevokeMachineToken(ctx, id, latchkey.Event{
		Time: f.now(), Kind: latchkey.MachineTokenRevoked, Actor: actor, Detail: map[string]string{"token": id},
	})
}

// Join enrolls a machine whose identity key, by the SHA-256 of its
// SubjectPublicKeyInfo, the TLS handshake has proven.
func (f *Fleet) Join(ctx context.Context, identity []byte, in api.EnrollRequest) (api.EnrollResponse, error) {
	m, err := f.newMachine(identity, in)
	if err != nil {
		return api.EnrollResponse{}, err
	}
	e := latchkey.Event{Time: f.now(), Kind: latchkey.MachineEnrolled, Actor: "machine:" + m.Name, Host: m.Name}
	m, err = f.store.Join(ctx, seal.HashToken(in.Secret), m, e)
	if err != nil {
		return api.EnrollResponse{}, fmt.Errorf("joining: %w", err)
	}
	version, err := f.store.Told(ctx, m.ID)
	if err != nil {
		return api.EnrollResponse{}, fmt.Errorf("joining: %w", err)
	}
	keys, err := f.signKeys()
	if err != nil {
		return api.EnrollResponse{}, err
	}
	settings, err := f.signSettings(m, version)
	return api.EnrollResponse{
		Deployment: f.keys.Deployment, Machine: m.ID, Name: m.Name, Pending: m.State == latchkey.Pending,
		Keys: keys, Settings: settings,
	}, err
}

// maxText bounds what a machine says about itself, in bytes.
const maxText = 200

func (f *Fleet) newMachine(identity []byte, in api.EnrollRequest) (latchkey.Machine, error) {
	if err := latchkey.CheckName(in.Name); err != nil {
		return latchkey.Machine{}, err
	}
	if len(in.OS) > maxText || len(in.AgentVersion) > maxText {
		return latchkey.Machine{}, latchkey.Errorf(latchkey.Invalid, "the system's name or the agent's version is too long")
	}
	if _, err := seal.ParsePublicKey(in.SealingKey); err != nil {
		return latchkey.Machine{}, latchkey.Errorf(latchkey.Invalid, "the sealing key is no point of P-256")
	}
	// A machine says itself where its keys live. Nothing attests to a TPM yet,
	// so none is believed to be more than a virtual one.
	class := in.KeyClass
	switch class {
	case latchkey.Software, latchkey.Virtual:
	case latchkey.TPM:
		class = latchkey.Virtual
	default:
		return latchkey.Machine{}, latchkey.Errorf(latchkey.Invalid, "the key class is not S, V or T")
	}
	return latchkey.Machine{
		Name: in.Name, State: latchkey.Active, Settings: latchkey.DefaultSettings(), OS: in.OS, AgentVersion: in.AgentVersion,
		KeyClass: class, SealingKey: in.SealingKey, IdentityHash: identity, CreatedAt: f.now(),
	}, nil
}
