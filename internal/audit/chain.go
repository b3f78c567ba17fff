package audit

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"latchkey/internal/seal"
)

// CheckpointType is the payload type of a signed checkpoint.
const CheckpointType = "application/vnd.latchkey.checkpoint+json"

// Block is how many positions at most lie between two checkpoints that are
// kept.
const Block = 1000

// A Link is a row of the trail with its place in the chain, as the database
// holds it.
type Link struct {
	Position int64
	Hash     []byte
	ID       string // as read, to name the row by
	Columns  []any  // in the order of the schema: nil, bool, int64, float64, string, []byte
}

// Next returns the hash of a row that follows a row with the hash before: what
// is chained is the position and every column, each with its type and length,
// so that no two rows have one encoding.
func Next(before []byte, position int64, columns []any) []byte {
	h := sha256.New()
	h.Write(seal.Info("latchkey/audit/1", string(before), fmt.Sprint(position)))
	var b []byte
	for _, c := range columns {
		b = append(b[:0], encode(c)...)
		h.Write(b)
	}
	return h.Sum(nil)
}

// encode writes a value behind its type and length. A value of a type that no
// column has (somebody wrote a text where a number belongs) has an encoding of
// its own: it is a broken link, not an error.
func encode(v any) []byte {
	switch x := v.(type) {
	case nil:
		return []byte{'0'}
	case bool:
		if x {
			return encode(int64(1))
		}
		return encode(int64(0))
	case int64:
		return binary.BigEndian.AppendUint64([]byte{'i'}, uint64(x))
	case string:
		return sized('s', x)
	case []byte:
		return sized('b', string(x))
	}
	return sized('?', fmt.Sprintf("%T %v", v, v))
}

func sized(kind byte, s string) []byte {
	b := binary.BigEndian.AppendUint64(append(make([]byte, 0, 9+len(s)), kind), uint64(len(s)))
	return append(b, s...)
}

// A Checkpoint is what the server signs: up to this position the chain is this.
type Checkpoint struct {
	Deployment string `json:"deployment"`
	Position   int64  `json:"position"`
	Hash       string `json:"hash"` // hex
	At         int64  `json:"at"`   // Unix milliseconds
}

// A Signed is a checkpoint as the database holds it.
type Signed struct {
	Position int64
	Envelope string
}

// A Notary signs checkpoints and knows them again.
type Notary struct {
	deployment string
	ring       func() seal.Ring
}

// NewNotary returns the notary of a deployment with one key.
func NewNotary(deployment string, key ed25519.PrivateKey) (Notary, error) {
	ring, err := seal.OneKey(key, 0)
	if err != nil {
		return Notary{}, fmt.Errorf("signing checkpoints: %w", err)
	}
	return NotaryOf(deployment, func() seal.Ring { return ring }), nil
}

// NotaryOf returns the notary of a deployment whose keys may succeed each other.
func NotaryOf(deployment string, ring func() seal.Ring) Notary { return Notary{deployment, ring} }

// Sign returns the signed checkpoint of a position.
func (n Notary) Sign(position int64, hash []byte, at time.Time) (string, error) {
	doc, err := json.Marshal(Checkpoint{n.deployment, position, hex.EncodeToString(hash), at.UnixMilli()})
	if err != nil {
		return "", fmt.Errorf("writing a checkpoint: %w", err)
	}
	raw, err := seal.Sign(n.ring().Signer, CheckpointType, doc)
	return string(raw), err
}

// Open returns what a stored checkpoint says, and when the key that signed it was
// in use. It refuses one that this deployment did not sign, that is stored under
// another position, or whose key was not in use: a key that was stolen and
// retired seals nothing any more.
func (n Notary) Open(s Signed) (Checkpoint, seal.Reign, error) {
	ring := n.ring()
	keys, err := ring.Ever()
	if err != nil {
		return Checkpoint{}, seal.Reign{}, err
	}
	doc, id, err := seal.Verify([]byte(s.Envelope), CheckpointType, keys)
	if err != nil {
		return Checkpoint{}, seal.Reign{}, err
	}
	var c Checkpoint
	if err := seal.DecodeStrict(doc, &c); err != nil {
		return Checkpoint{}, seal.Reign{}, err
	}
	if c.Deployment != n.deployment || c.Position != s.Position {
		return Checkpoint{}, seal.Reign{}, fmt.Errorf("it is of another place")
	}
	reign, ok := ring.Reign(id)
	if !ok || !reign.Holds(time.UnixMilli(c.At)) || c.Position > reign.UpTo {
		return Checkpoint{}, seal.Reign{}, fmt.Errorf("its key %s was not in use then", id)
	}
	return c, reign, nil
}
