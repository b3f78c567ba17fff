package seal

import (
	"crypto/ed25519"
	"errors"
	"math"
	"slices"
	"time"
)

// Slack is how far the moments that a server writes may lie outside of the time
// in which its key was in use: servers hear of a change within a minute, and
// their clocks differ.
const Slack = 10 * time.Minute

// A Ring is the signing keys of a deployment at one moment. One key signs; the
// next one may be announced already, and older ones are believed until what
// they signed has ended.
type Ring struct {
	Version uint64             // of the set that machines are told; rises with every change
	Signer  ed25519.PrivateKey // signs everything but the set itself
	Herald  ed25519.PrivateKey // signs the set: the oldest key, which every machine knows
	Trusted []ed25519.PublicKey
	Past    []ed25519.PublicKey // every key that ever was, those of Trusted too
	Reigns  []Reign             // of every key that was ever in use, the first one first
}

// A Reign is the time in which one key signed.
type Reign struct {
	Key   ed25519.PublicKey
	From  time.Time // zero: from the beginning
	Until time.Time // zero: it signs today
	UpTo  int64     // position in the audit trail of the last checkpoint that it can have signed
}

// Holds says whether the key may have signed at a moment, give or take Slack.
func (r Reign) Holds(at time.Time) bool {
	return !at.Add(Slack).Before(r.From) && !r.over(at)
}

func (r Reign) over(at time.Time) bool { return !r.Until.IsZero() && at.After(r.Until.Add(Slack)) }

// Precedes says whether the key cannot have signed behind what another one
// signed at a moment.
func (r Reign) Precedes(other Reign, at time.Time) bool {
	return r.From.Before(other.From) && r.over(at)
}

// OneKey is the ring of a deployment that never had another key.
func OneKey(k ed25519.PrivateKey, version uint64) (Ring, error) {
	if len(k) != ed25519.PrivateKeySize {
		return Ring{}, errors.New("not an Ed25519 private key")
	}
	pub := []ed25519.PublicKey{k.Public().(ed25519.PublicKey)}
	return Ring{Version: version, Signer: k, Herald: k, Trusted: pub, Past: pub, Reigns: []Reign{{Key: pub[0], UpTo: math.MaxInt64}}}, nil
}

// Ever returns the set of every key that ever signed for the deployment: it
// tells what the deployment once said, not what holds now.
func (r Ring) Ever() (KeySet, error) { return NewKeySet(slices.Concat(r.Past, r.Trusted)...) }

// Reign returns when the key with an id was in use; false where it never was.
func (r Ring) Reign(id string) (Reign, bool) {
	i := slices.IndexFunc(r.Reigns, func(x Reign) bool { return KeyID(x.Key) == id })
	if i < 0 {
		return Reign{}, false
	}
	return r.Reigns[i], true
}
