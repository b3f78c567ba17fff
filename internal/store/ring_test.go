package store

import (
	"bytes"
	"crypto/ed25519"
	"strings"
	"testing"
	"time"

	"latchkey"
	"latchkey/internal/api"
	"latchkey/internal/audit"
	"latchkey/internal/seal"
)

// turned is a trail whose keys have been: one retired, one believed, one in use
// and one announced, a day apart each.
func turned(t *testing.T) (tr *trail, keys []SigningKey, first ed25519.PrivateKey) {
	t.Helper()
	tr = newTrail(t)
	tr.notary = audit.NotaryOf(tr.Keys().Deployment, tr.Ring)
	tr.sealer = tr.sealerNamed("one")
	first = tr.Ring().Signer
	for range 2 {
		tr.grow(10)
		tr.seal()
		tr.turn()
	}
	tr.grow(10)
	tr.seal()
	_, err := tr.AnnounceKey(t.Context(), latchkey.Event{Kind: latchkey.KeyAnnounced})
	must(t, err)
	must(t, tr.RetireKey(t.Context(), seal.KeyID(first.Public().(ed25519.PublicKey)), true, latchkey.Event{Kind: latchkey.KeyRetired}))
	must(t, tr.RefreshRing(t.Context()))
	keys, err = tr.SigningKeys(t.Context())
	must(t, err)
	var states []string
	for _, k := range keys {
		states = append(states, k.State)
	}
	if got := strings.Join(states, " "); got != "retired believed current announced" {
		t.Fatal(got)
	}
	return tr, keys, first
}

// turn puts a new key into use, a day later.
func (tr *trail) turn() {
	tr.t.Helper()
	tr.now = tr.now.Add(time.Hour)
	_, err := tr.AnnounceKey(tr.t.Context(), latchkey.Event{Kind: latchkey.KeyAnnounced})
	must(tr.t, err)
	tr.now = tr.now.Add(23 * time.Hour)
	_, err = tr.SwitchKey(tr.t.Context(), false, latchkey.Event{Kind: latchkey.KeySwitched})
	must(tr.t, err)
}

// What somebody does who can write to the database and does not have the master
// key. The row that he wrote is named, and nobody serves with it.
func TestASigningKeyThatTheMasterKeyDoesNotVouchForIsRefused(t *testing.T) {
	t.Parallel()
	own, _, err := ed25519.GenerateKey(nil)
	must(t, err)
	id := seal.KeyID(own)
	const (
		add   = "INSERT INTO signing_keys (id, public, wrapped, made_at, retired_at) VALUES ($1, $2, $3, 1, $4)"
		steal = "INSERT INTO signing_keys (id, public, wrapped, made_at, retired_at) SELECT $1, $2, wrapped, 1, retired_at FROM signing_keys WHERE id = $3"
	)
	for name, crime := range map[string]func(tr *trail, keys []SigningKey) string{
		"a retired one is added": func(tr *trail, _ []SigningKey) string {
			tr.sql(add, id, []byte(own), nil, 2)
			return id
		},
		"a retired one is added in the clear": func(tr *trail, _ []SigningKey) string {
			tr.sql(add, id, []byte(own), append(bytes.Clone(own), make([]byte, 24)...), 2)
			return id
		},
		"an announced one is added": func(tr *trail, _ []SigningKey) string {
			tr.sql(add, id, []byte(own), nil, nil)
			return id
		},
		"an announced one borrows a seed": func(tr *trail, keys []SigningKey) string {
			tr.sql(steal, id, []byte(own), keys[3].ID)
			return id
		},
		"a retired one borrows another's past": func(tr *trail, keys []SigningKey) string {
			tr.sql(steal, id, []byte(own), keys[0].ID)
			return id
		},
		"the public key of a retired one changes": func(tr *trail, keys []SigningKey) string {
			tr.sql("UPDATE signing_keys SET public = $1 WHERE id = $2", []byte(own), keys[0].ID)
			return keys[0].ID
		},
		"the public key of a believed one changes": func(tr *trail, keys []SigningKey) string {
			tr.sql("UPDATE signing_keys SET public = $1 WHERE id = $2", []byte(own), keys[1].ID)
			return keys[1].ID
		},
		"the public key of an announced one changes": func(tr *trail, keys []SigningKey) string {
			tr.sql("UPDATE signing_keys SET public = $1 WHERE id = $2", []byte(own), keys[3].ID)
			return keys[3].ID
		},
		"a retired one comes back": func(tr *trail, keys []SigningKey) string {
			tr.sql("UPDATE signing_keys SET retired_at = NULL WHERE id = $1", keys[0].ID)
			return keys[0].ID
		},
		"a believed one seems retired": func(tr *trail, keys []SigningKey) string {
			tr.sql("UPDATE signing_keys SET retired_at = 2 WHERE id = $1", keys[1].ID)
			return keys[1].ID
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tr, keys, _ := turned(t)
			before := len(tr.Ring().Past)
			row := crime(tr, keys)
			tr.sql("UPDATE meta SET value = '99' WHERE name = 'keyset'")
			if err := tr.RefreshRing(t.Context()); latchkey.CodeOf(err) != latchkey.Conflict || !strings.Contains(err.Error(), row) {
				t.Errorf("read again: %v", err)
			}
			if n := len(tr.Ring().Past); n != before || n != 4 {
				t.Errorf("%d keys are on the ring", n)
			}
			tr.grow(1)
			if err := tr.sealer.Round(t.Context()); err == nil {
				t.Error("the trail goes on")
			}
		})
	}
}

// forge puts a checkpoint over a row as it is: all that is wrong is the key.
func (tr *trail) forge(key ed25519.PrivateKey, position int64, at time.Time) {
	tr.t.Helper()
	ring, err := seal.OneKey(key, 0)
	must(tr.t, err)
	rows, err := tr.Links(tr.t.Context(), position-1, 1)
	must(tr.t, err)
	signed, err := audit.NotaryOf(tr.Keys().Deployment, func() seal.Ring { return ring }).Sign(position, rows[0].Hash, at)
	must(tr.t, err)
	must(tr.t, tr.InTx(tr.t.Context(), func(x *Tx) error { return x.exec("DELETE FROM checkpoints WHERE position = $1", position) }))
	tr.sql("INSERT INTO checkpoints (position, at, signed) VALUES ($1, $2, $3)", position, at.UnixMilli(), signed)
}

// The first key was in use from noon for a day and is retired; the second one
// for the next day, and is believed. The rows 1 to 11 were sealed by the first,
// to 23 by the second, to 57 and 67 by the third.
func TestN14AKeySealsOnlyWhileItIsInUse(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for name, tc := range map[string]struct {
		key      int
		position int64
		at       time.Duration // since noon
		alone    bool          // all that was sealed since is gone: nothing contradicts him
		holds    bool
	}{
		"while it was in use":                       {0, 5, time.Hour, false, true},
		"by a server that had not heard of the new": {0, 5, day + seal.Slack, false, true},
		"after its end":                             {0, 5, day + seal.Slack + time.Millisecond, false, false},
		"behind its last place":                     {0, 30, time.Hour, true, false},
		"believed, while it was in use":             {1, 15, day + time.Hour, false, true},
		"believed, before its time":                 {1, 15, day - seal.Slack - time.Millisecond, false, false},
		"believed, after its end":                   {1, 15, 2*day + seal.Slack + time.Millisecond, false, false},
		"believed, behind what the next one signed": {1, 60, day + time.Hour, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tr, keys, first := turned(t)
			for _, rows := range []int{20, 10} {
				tr.now = tr.now.Add(time.Hour)
				tr.grow(rows)
				tr.seal()
			}
			if v := tr.verify(); !v.OK || v.Sealed != 67 {
				t.Fatalf("before the crime: %+v %+v", v, v.Broken)
			}
			key := first
			if tc.key == 1 {
				key = tr.unwrapped(keys[1].ID)
			}
			if tc.alone {
				tr.sql("DELETE FROM checkpoints WHERE position > 11")
			}
			tr.forge(key, tc.position, noon.Add(tc.at))
			v := tr.verify()
			switch {
			case tc.holds && !v.OK:
				t.Errorf("%+v", v.Broken)
			case !tc.holds && (v.OK || v.Broken.Kind != api.CheckpointAltered || v.Broken.Position != tc.position):
				t.Errorf("%+v", v.Broken)
			}
		})
	}
}

func (tr *trail) unwrapped(id string) (private ed25519.PrivateKey) {
	tr.t.Helper()
	must(tr.t, tr.InTx(tr.t.Context(), func(x *Tx) error {
		all, err := x.keyRows()
		for _, k := range all {
			if k.ID == id {
				private, err = x.private(k)
			}
		}
		return err
	}))
	return private
}

// Another process retires a key; the sealer of this one does not know, and may
// not sign with it any more: the trail would be broken for ever.
func TestTheSealerHearsOfANewKeyBeforeItSigns(t *testing.T) {
	t.Parallel()
	tr, _, _ := turned(t)
	believed := seal.KeyID(tr.Ring().Signer.Public().(ed25519.PublicKey))
	tr.now = tr.now.Add(time.Hour)
	_, err := tr.SwitchKey(t.Context(), false, latchkey.Event{Kind: latchkey.KeySwitched})
	must(t, err)
	must(t, tr.RetireKey(t.Context(), believed, true, latchkey.Event{Kind: latchkey.KeyRetired}))
	tr.seal()
	if v := tr.verify(); !v.OK || v.Unsealed != 0 {
		t.Errorf("%+v %+v", v, v.Broken)
	}
}

// A server hears of a key within its refresh interval: until then it tells
// machines of the others only.
func TestAMachineHeardBeforeEveryServerKnewIsUnaware(t *testing.T) {
	t.Parallel()
	tr := newTrail(t)
	_, err := tr.AnnounceKey(t.Context(), latchkey.Event{Kind: latchkey.KeyAnnounced})
	must(t, err)
	tr.sql(`INSERT INTO machines (id, name, fold, state, mode, unknown_users, match_local, trust_on_enforced, os, agent_version,
		key_class, identity_hash, sealing_key, created_at) VALUES ('mac_1', 'pc', 'pc', 'active', 'enforce', 'deny', $1, $1, '', '', '', $2, $3, 1)`,
		false, []byte("a"), []byte("b"))
	for after, want := range map[time.Duration]int{0: 1, Spread - time.Millisecond: 1, Spread: 0} {
		tr.sql("UPDATE machines SET last_contact = $1", noon.Add(after).UnixMilli())
		keys, err := tr.SigningKeys(t.Context())
		must(t, err)
		if len(keys) != 2 || keys[1].Unaware != want {
			t.Errorf("heard %v after: %+v", after, keys)
		}
	}
}
