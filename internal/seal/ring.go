package seal

import (
	"crypto/ed25519"
	"errors"
	"slices"
)

// A Ring is the signing keys of a deployment at one moment. One key signs; the
// next one may be announced already, and older ones are believed until what
// they signed has ended.
type Ring struct {
	Version uint64             // of the set that machines are told; rises with every change
	Signer  ed25519.PrivateKey // signs everything but the set itself
	Herald  ed25519.PrivateKey // signs the set: the oldest key, which every machine knows
	Trusted []ed25519.PublicKey
	Past    []ed25519.PublicKey // every key that ever was, those of Trusted too
}

// OneKey is the ring of a deployment that never had another key.
func OneKey(k ed25519.PrivateKey, version uint64) (Ring, error) {
	if len(k) != ed25519.PrivateKeySize {
		return Ring{}, errors.New("not an Ed25519 private key")
	}
	pub := []ed25519.PublicKey{k.Public().(ed25519.PublicKey)}
	return Ring{Version: version, Signer: k, Herald: k, Trusted: pub, Past: pub}, nil
}

// Ever returns the set of every key that ever signed for the deployment: it
// tells what the deployment once said, not what holds now.
func (r Ring) Ever() (KeySet, error) { return NewKeySet(slices.Concat(r.Past, r.Trusted)...) }
