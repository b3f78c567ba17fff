package store

import (
	"crypto/ed25519"
	"encoding/binary"
	"slices"
	"time"

	"latchkey/internal/seal"
	"latchkey/internal/secret"
)

// retiredSize is the length of what is wrapped of a retired key: the public key,
// and from when, until when and up to which position it signed.
const retiredSize = ed25519.PublicKeySize + 3*8

// retiredRow differs from signingRow: no seed passes for a retired key, and no
// retired key for one that is in use.
func retiredRow(id string) string { return "retired_keys/" + id }

// retire destroys a seed. What stays says which checkpoints of the audit trail
// the key can have signed, under the master key: whoever has the seed and can
// write to the database adds none.
func (t *Tx) retire(k keyRow, all []keyRow, now time.Time) error {
	if err := t.inForce(); err != nil {
		return err
	}
	private, err := t.private(k)
	if err != nil {
		return err
	}
	// A round of the sealer that is under way still signs with the key.
	if err := t.exec("UPDATE leases SET ends = ends WHERE name = 'sealer'"); err != nil {
		return err
	}
	until := ended(k, all, now)
	var last int64
	const sealed = "SELECT coalesce(max(position), 0) FROM checkpoints WHERE at <= $1"
	if err := t.row(sealed, until+seal.Slack.Milliseconds()).Scan(&last); err != nil {
		return err
	}
	plain := slices.Clone(private.Public().(ed25519.PublicKey))
	for _, n := range []int64{begun(k), until, last} {
		plain = binary.BigEndian.AppendUint64(plain, uint64(n))
	}
	wrapped, err := t.wrap(retiredRow(k.ID), secret.Bytes(plain))
	if err != nil {
		return err
	}
	return t.exec("UPDATE signing_keys SET retired_at = $1, wrapped = $2 WHERE id = $3", now.UnixMilli(), wrapped, k.ID)
}

// begun is 0 for a key that was never in use.
func begun(k keyRow) int64 {
	if k.CurrentFrom == nil {
		return 0
	}
	return k.CurrentFrom.UnixMilli()
}

// ended is when the next key took over; now for a key that was never in use.
func ended(k keyRow, all []keyRow, now time.Time) int64 {
	end := int64(0)
	for _, next := range all {
		if from := begun(next); from > begun(k) && (end == 0 || from < end) {
			end = from
		}
	}
	if end == 0 || begun(k) == 0 {
		return now.UnixMilli()
	}
	return end
}

// remember puts a retired key on the ring.
func (t *Tx) remember(ring *seal.Ring, k keyRow) error {
	plain, err := t.db.wrap.Unwrap(retiredRow(k.ID), k.wrapped)
	if err != nil || len(plain) != retiredSize {
		return strange(k)
	}
	public, rest := ed25519.PublicKey(plain[:ed25519.PublicKeySize]), plain[ed25519.PublicKeySize:]
	if err := genuine(k, public); err != nil {
		return err
	}
	ring.Past = append(ring.Past, public)
	if from := word(rest); from != 0 {
		ring.Reigns = append(ring.Reigns, seal.Reign{
			Key: public, From: time.UnixMilli(from), Until: time.UnixMilli(word(rest[8:])), UpTo: word(rest[16:]),
		})
	}
	return nil
}

func word(b []byte) int64 { return int64(binary.BigEndian.Uint64(b)) }
