package store

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"latchkey"
	"latchkey/internal/audit"
	"latchkey/internal/seal"
	"latchkey/internal/secret"
)

// A head is where the audit chain ends, as the sealer left it. It lies wrapped
// under the master key beside the chain, and goes with it in one transaction:
// whoever writes to the database and does not have that key can put an older one
// back, with the trail of then, and make none.
type head struct {
	position int64
	hash     []byte            // of the row there; empty before the first one
	sum      [sha256.Size]byte // of the checkpoint there; zeros before the first one
}

// headRow is the name to which the head is wrapped.
const headRow = "heads/audit"

// farthest is the last place that the sealer gives. Only somebody who writes
// places himself comes there.
const farthest = 1 << 53

func (h head) equal(o head) bool {
	return h.position == o.position && h.sum == o.sum && bytes.Equal(h.hash, o.hash)
}

// An ending is where the tables say that the chain ends.
type ending struct {
	head
	signed int64 // position of the last checkpoint
}

func (e ending) last() int64 { return max(e.position, e.signed) }

// ending reads the end of the chain.
func (t *Tx) ending() (e ending, err error) {
	const row = "SELECT position, hash FROM events WHERE " + placed + " ORDER BY position DESC LIMIT 1"
	if err := t.row(row).Scan(&e.position, &e.hash); err != nil && !errors.Is(err, sql.ErrNoRows) {
		return ending{}, err
	}
	var signed []byte
	const checkpoint = "SELECT position, signed FROM checkpoints WHERE " + placed + " ORDER BY position DESC LIMIT 1"
	err = t.row(checkpoint).Scan(&e.signed, &signed)
	if errors.Is(err, sql.ErrNoRows) {
		return e, nil
	}
	e.sum = sha256.Sum256(signed)
	return e, err
}

// noted is the head that was kept; ok is false where it is gone, or was not
// written under the master key.
func (t *Tx) noted() (h head, ok bool, err error) {
	var wrapped []byte
	err = t.row("SELECT wrapped FROM heads WHERE name = 'audit'").Scan(&wrapped)
	if errors.Is(err, sql.ErrNoRows) {
		return head{}, false, nil
	}
	h, ok = t.db.openHead(wrapped)
	return h, ok, err
}

func (db *DB) openHead(wrapped []byte) (h head, ok bool) {
	plain, err := db.wrap.Unwrap(headRow, wrapped)
	if err != nil || len(plain) < 8+sha256.Size {
		return head{}, false
	}
	h.position = word(plain)
	copy(h.sum[:], plain[8:])
	h.hash = slices.Clone(plain[8+sha256.Size:])
	return h, true
}

func (t *Tx) note(h head) error {
	plain := binary.BigEndian.AppendUint64(nil, uint64(h.position))
	plain = append(append(plain, h.sum[:]...), h.hash...)
	wrapped, err := t.wrap(headRow, secret.Bytes(plain))
	if err != nil {
		return err
	}
	return t.exec("INSERT INTO heads (name, wrapped) VALUES ('audit', $1) ON CONFLICT (name) DO UPDATE SET wrapped = excluded.wrapped", wrapped)
}

// follow returns what the next row is chained to. Where the chain does not end
// as it was left, it goes on behind a gap that nobody can close, and altered says
// what was found.
func (t *Tx) follow() (from head, altered error, err error) {
	found, err := t.ending()
	if err != nil {
		return head{}, nil, err
	}
	noted, ok, err := t.noted()
	if err != nil {
		return head{}, nil, err
	}
	seen := t.db.seen() // an older head, put back, is behind what this process has seen
	if ok && noted.equal(found.head) && found.signed == found.position && noted.reaches(seen) {
		return noted, nil, nil
	}
	if !ok || !noted.reaches(seen) {
		noted = seen
	}
	from = head{position: max(found.last(), noted.position) + 1, hash: noted.hash}
	if from.position >= farthest {
		return head{}, nil, latchkey.Errorf(latchkey.Conflict, "the audit trail has a place %d that no server gave", from.position-1).
			WithHint("somebody can write to the database: find out who, then restore a backup from before")
	}
	altered = fmt.Errorf("%w: it was sealed up to position %d and ends at %d", audit.ErrAltered, noted.position, found.position)
	return from, altered, t.addEvent(latchkey.Event{Kind: latchkey.Incident, Actor: "server", Detail: map[string]string{
		"incident": "audit_trail_altered", "sealed": fmt.Sprint(noted.position), "found": fmt.Sprint(found.position),
	}})
}

// reaches says whether a head can come after another one.
func (h head) reaches(seen head) bool { return h.position > seen.position || h.equal(seen) }

// seen is the last head that this process knows of.
func (db *DB) seen() head {
	if h := db.head.Load(); h != nil {
		return *h
	}
	return head{}
}

func (db *DB) see(h head) {
	for {
		old := db.head.Load()
		if old != nil && h.position <= old.position || db.head.CompareAndSwap(old, &h) {
			return
		}
	}
}

// headed stands before the CA's key once the chain has a head. Without that
// key no machine talks to the server: nobody can take the head away and have the
// database pass for one of a version that kept none.
const headed = 1

// caKey opens the CA's key. A database of an earlier version, and a new one, are
// given their head, which follows from the last checkpoint.
func (t *Tx) caKey(k *Keys, der secret.Bytes, ring seal.Ring) (err error) {
	if len(der) > 0 && der[0] == headed {
		der = der[1:]
	} else if err := errors.Join(t.firstHead(k.Deployment, ring), t.markCA(der)); err != nil {
		return fmt.Errorf("noting the end of the audit trail: %w", err)
	}
	if k.CA, err = x509.ParseECPrivateKey(der); err != nil {
		return errors.New("the key of the CA cannot be read")
	}
	return nil
}

func (t *Tx) markCA(der secret.Bytes) error {
	wrapped, err := t.wrap("secrets/ca", append(secret.Bytes{headed}, der...))
	if err != nil {
		return err
	}
	return t.one("secret", "UPDATE secrets SET wrapped = $1 WHERE name = 'ca'", wrapped)
}

// firstHead believes the last checkpoint and not the rows: where these do not
// end with it, the first round says so.
func (t *Tx) firstHead(deployment string, ring seal.Ring) error {
	end, err := t.ending()
	if err != nil {
		return err
	}
	h := head{position: end.last()}
	if end.signed == end.position && t.signed(end, deployment, ring) {
		h = end.head
	}
	return t.note(h)
}

// signed says whether the server signed the end that was found.
func (t *Tx) signed(end ending, deployment string, ring seal.Ring) bool {
	if end.position == 0 {
		return len(end.hash) == 0
	}
	s := audit.Signed{Position: end.signed}
	if err := t.row("SELECT signed FROM checkpoints WHERE position = $1", end.signed).Scan(&s.Envelope); err != nil {
		return false
	}
	c, _, err := audit.NotaryOf(deployment, func() seal.Ring { return ring }).Open(s)
	return err == nil && c.Hash == fmt.Sprintf("%x", end.hash)
}
