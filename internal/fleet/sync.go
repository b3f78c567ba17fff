package fleet

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"crypto/ed25519"
	"encoding/base64"

	"latchkey"
	"latchkey/internal/api"
	"latchkey/internal/seal"
)

// maxRaces bounds how often a report is judged anew because logins changed the
// facts meanwhile.
const maxRaces = 20

// Sync takes a machine's report and tells it the news.
func (f *Fleet) Sync(ctx context.Context, machine latchkey.MachineID, in api.SyncRequest) (api.SyncResponse, error) {
	if len(in.OS) > maxText || len(in.AgentVersion) > maxText {
		return api.SyncResponse{}, latchkey.Errorf(latchkey.Invalid, "the system's name or the agent's version is too long")
	}
	l, version, err := f.merge(ctx, machine, in)
	if err != nil {
		return api.SyncResponse{}, err
	}
	out := api.SyncResponse{Acked: l.Reported, State: string(l.Machine.State), Users: []api.News{}}
	if out.Health, err = f.Health(in.Nonce); err != nil {
		return api.SyncResponse{}, err
	}
	if out.Keys, err = f.signKeys(); err != nil {
		return api.SyncResponse{}, err
	}
	if out.Settings, err = f.signSettings(l.Machine, version); err != nil {
		return api.SyncResponse{}, err
	}
	out.Users, err = f.news(ctx, l, f.told(l.Machine, in))
	return out, err
}

// told returns the version above which the header of a user has to be: of the
// settings that the machine proves, and of the header that it says it holds. Both
// may be of a database that was lost. A machine that lies about its header gets
// no other codes for it.
func (f *Fleet) told(m latchkey.Machine, in api.SyncRequest) func(latchkey.UserID) uint64 {
	proven, held := f.proven(m, in.Proof), map[latchkey.UserID]uint64{}
	for _, k := range in.Users {
		held[k.User] = min(k.Version, f.furthest())
	}
	return func(u latchkey.UserID) uint64 { return max(proven, held[u]) }
}

// furthest is a version that no honest machine was told yet.
func (f *Fleet) furthest() uint64 { return uint64(max(0, f.now().AddDate(1, 0, 0).UnixMilli())) }

// merge judges the report and stores what it changes. It returns the ledger as
// it is afterwards.
func (f *Fleet) merge(ctx context.Context, machine latchkey.MachineID, in api.SyncRequest) (Ledger, uint64, error) {
	for range maxRaces {
		l, err := f.store.Ledger(ctx, machine, "")
		if err != nil {
			return Ledger{}, 0, err
		}
		m, err := f.judge(ctx, l, in)
		if err != nil {
			return Ledger{}, 0, err
		}
		version, err := f.store.Merge(ctx, m)
		if errors.Is(err, ErrRaced) {
			continue
		}
		if err != nil {
			return Ledger{}, 0, fmt.Errorf("merging the report of %s: %w", l.Machine.Name, err)
		}
		l, err = f.store.Ledger(ctx, machine, "")
		return l, version, err
	}
	return Ledger{}, 0, latchkey.Errorf(latchkey.Busy, "too much changes at once")
}

// news lists the versions that are current, for every user whom the machine
// holds something of. A machine that is not active is told nothing but, in
// quarantine, of what was taken away. proven is the version of which the machine
// shows that it was told it.
func (f *Fleet) news(ctx context.Context, l Ledger, proven func(latchkey.UserID) uint64) ([]api.News, error) {
	out := []api.News{}
	for _, m := range l.Users {
		if m.gone() {
			continue
		}
		p, told, err := f.tells(l, m)
		if err != nil {
			return nil, err
		}
		if !told {
			continue
		}
		version, err := f.current(ctx, l, m, p, proven(m.User.ID))
		if errors.Is(err, ErrRaced) {
			version = m.Version // a login was faster; the next contact tells it
		} else if err != nil {
			return nil, err
		}
		if err := f.released(ctx, l, m, p); err != nil {
			return nil, err
		}
		if version > 0 {
			out = append(out, api.News{User: m.User.ID, Version: version})
		}
	}
	slices.SortFunc(out, func(a, b api.News) int { return cmp.Compare(a.User, b.User) })
	return out, nil
}

// released ends the leases of tokens whose codes the machine was handed once
// and has dropped: it holds the current header, and they are not in it.
func (f *Fleet) released(ctx context.Context, l Ledger, m *Member, p plan) error {
	now := f.now()
	if p.held || m.Acked != m.Version || string(m.Digest) != string(p.digest) {
		return nil
	}
	for _, t := range m.Tokens {
		holds := t.LeaseMachine == l.Machine.ID && t.Handed > 0 && now.Before(t.LeaseUntil)
		if !holds || slices.ContainsFunc(p.tokens, func(s share) bool { return s.ID == t.ID }) {
			continue
		}
		err := f.store.ReleaseLease(ctx, Release{now, t.ID, l.Machine.ID, t.LeaseUntil, latchkey.Event{
			Time: now, Kind: latchkey.LeaseReleased, Actor: "machine:" + l.Machine.Name, User: m.User.ID, UserName: m.User.Name,
			Machine: l.Machine.ID, Host: l.Machine.Name, Detail: map[string]string{"authenticator": string(t.ID)},
		}})
		if err != nil && !errors.Is(err, ErrRaced) {
			return err
		}
	}
	return nil
}

// Health is the server's signed word that it can be asked. The key that every
// machine knows signs it: one that was away while keys changed would otherwise
// not believe that this is its server, and never learn the new ones.
func (f *Fleet) Health(nonce string) ([]byte, error) {
	ring, err := f.keys.ring()
	if err != nil {
		return nil, err
	}
	return signed(ring.Herald, api.HealthType, api.Health{Deployment: f.keys.Deployment, Nonce: nonce, At: f.now().UnixMilli()})
}

func (f *Fleet) signKeys() ([]byte, error) {
	ring, err := f.keys.ring()
	if err != nil {
		return nil, err
	}
	set := api.KeySet{Deployment: f.keys.Deployment, Version: ring.Version, Epoch: f.keys.Epoch}
	for _, pub := range ring.Trusted {
		set.Keys = append(set.Keys, base64.StdEncoding.EncodeToString(pub))
	}
	return signed(ring.Herald, api.KeySetType, set)
}

func (f *Fleet) signSettings(m latchkey.Machine, version uint64) ([]byte, error) {
	now := f.now()
	return f.sign(api.SettingsType, api.Settings{
		Deployment: f.keys.Deployment, Machine: m.ID, Version: version, IssuedAt: now.UnixMilli(),
		NotAfter: now.Add(HeaderLife).UnixMilli(), Removed: m.State == latchkey.Removed, Settings: m.Settings, MinAgent: MinAgent,
	})
}

func (f *Fleet) sign(kind string, v any) ([]byte, error) {
	ring, err := f.keys.ring()
	if err != nil {
		return nil, err
	}
	return signed(ring.Signer, kind, v)
}

func signed(key ed25519.PrivateKey, kind string, v any) ([]byte, error) {
	doc, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("writing a signed object: %w", err)
	}
	return seal.Sign(key, kind, doc)
}

// proven is the highest version that the machine can show an object of: a
// database that was restored from a backup goes on above it. What is not signed
// by this deployment for this machine proves nothing, and none goes further than
// a year ahead: a key that was stolen could sign the last number there is.
func (f *Fleet) proven(m latchkey.Machine, proof []byte) uint64 {
	ring, err := f.keys.ring()
	if err != nil || len(proof) == 0 {
		return 0
	}
	keys, err := ring.Ever()
	if err != nil {
		return 0
	}
	doc, _, err := seal.Verify(proof, api.SettingsType, keys)
	if err != nil {
		return 0
	}
	var s api.Settings
	if err := seal.DecodeStrict(doc, &s); err != nil || s.Machine != m.ID || s.Deployment != f.keys.Deployment {
		return 0
	}
	return min(s.Version, f.furthest())
}
