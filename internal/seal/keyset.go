package seal

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// A KeySet holds the public keys whose signatures are believed. The zero value
// believes none. It does not change: With returns another set.
type KeySet struct {
	keys map[string]ed25519.PublicKey
}

// NewKeySet returns a set of the given Ed25519 keys.
func NewKeySet(pubs ...ed25519.PublicKey) (KeySet, error) {
	return KeySet{}.With(pubs...)
}

// With returns a set that also believes the given keys.
func (s KeySet) With(pubs ...ed25519.PublicKey) (KeySet, error) {
	keys := maps.Clone(s.keys)
	if keys == nil {
		keys = map[string]ed25519.PublicKey{}
	}
	for _, pub := range pubs {
		if len(pub) != ed25519.PublicKeySize {
			return KeySet{}, errors.New("not an Ed25519 public key")
		}
		id := KeyID(pub)
		if have, ok := keys[id]; ok && !have.Equal(pub) {
			return KeySet{}, fmt.Errorf("two different keys have the id %s", id)
		}
		keys[id] = slices.Clone(pub)
	}
	return KeySet{keys}, nil
}

// Key returns the key with the given id.
func (s KeySet) Key(id string) (ed25519.PublicKey, bool) {
	pub, ok := s.keys[id]
	return pub, ok
}

// IDs returns the ids in ascending order.
func (s KeySet) IDs() []string { return slices.Sorted(maps.Keys(s.keys)) }

// KeyID returns the id of a signing key: the first 8 bytes of the SHA-256 of
// the public key, in hex. It is a name to look a key up by, not a proof.
func KeyID(pub ed25519.PublicKey) string {
	sum := sha256.Sum256(pub)
	return hex.EncodeToString(sum[:8])
}
