package store

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"time"

	"latchkey"
	"latchkey/internal/fleet"
	"latchkey/internal/seal"
	"latchkey/internal/secret"
)

// Spread is how long an announced key waits before it may sign, at least: by
// then every server of the deployment tells machines of it.
const Spread = seal.Slack

// epochBits is where the restore epoch begins in the version of a set of keys,
// so that every set after a restore is newer than all before it.
const epochBits = 20

// epochSize is how many bits of the version are left for the epoch.
const epochSize = 64 - epochBits - 1

// A SigningKey is one key of the deployment's, for people.
type SigningKey struct {
	ID           string     `json:"id"`
	State        string     `json:"state"` // announced, current, believed or retired
	MadeAt       time.Time  `json:"made_at"`
	CurrentFrom  *time.Time `json:"current_from"`
	TrustedUntil *time.Time `json:"trusted_until"` // what it signed has ended by then
	RetiredAt    *time.Time `json:"retired_at"`
	Unaware      int        `json:"unaware"` // machines in use without a contact since every server tells of it
}

// The states of a signing key.
const (
	KeyAnnounced = "announced"
	KeyCurrent   = "current"
	KeyBelieved  = "believed"
	KeyRetired   = "retired"
)

// Ring returns the signing keys as they were read last.
func (db *DB) Ring() seal.Ring { return *db.ring.Load() }

// RefreshRing reads the signing keys again: another process may have changed
// them.
func (db *DB) RefreshRing(ctx context.Context) error {
	var r seal.Ring
	err := db.InTx(ctx, func(t *Tx) (err error) {
		r, err = t.loadRing()
		return err
	})
	if err != nil {
		return fmt.Errorf("reading the signing keys: %w", err)
	}
	db.ring.Store(&r)
	return nil
}

// A keyRow is a row of signing_keys.
type keyRow struct {
	SigningKey
	public, wrapped []byte
}

// keyRows reads the keys, the oldest first, and says of each what it is for.
func (t *Tx) keyRows() ([]keyRow, error) {
	var all []keyRow
	current := -1
	err := t.query(func(r *sql.Rows) error {
		var k keyRow
		var made int64
		var from, retired, until sql.NullInt64
		if err := r.Scan(&k.ID, &k.public, &k.wrapped, &made, &from, &retired, &until); err != nil {
			return err
		}
		k.MadeAt = time.UnixMilli(made).UTC()
		k.CurrentFrom, k.RetiredAt, k.TrustedUntil = instant(from), instant(retired), instant(until)
		switch {
		case retired.Valid:
			k.State = KeyRetired
		case !from.Valid:
			k.State = KeyAnnounced
		default:
			k.State = KeyBelieved
			if current < 0 || !k.CurrentFrom.Before(*all[current].CurrentFrom) {
				current = len(all)
			}
		}
		all = append(all, k)
		return nil
	}, "SELECT id, public, wrapped, made_at, current_from, retired_at, trusted_until FROM signing_keys ORDER BY made_at, id")
	if err == nil && current >= 0 {
		all[current].State = KeyCurrent
	}
	return all, err
}

func instant(ms sql.NullInt64) *time.Time {
	if !ms.Valid {
		return nil
	}
	at := timeOf(ms)
	return &at
}

// loadRing reads the ring. A deployment that has none is given its first key, or
// the one that an earlier version kept among the other secrets.
func (t *Tx) loadRing() (seal.Ring, error) {
	ring := seal.Ring{}
	var err error
	if ring.Version, err = t.setVersion(); err != nil {
		return seal.Ring{}, err
	}
	all, err := t.keyRows()
	if err == nil && len(all) == 0 {
		if err = t.firstKey(); err == nil {
			all, err = t.keyRows()
		}
	}
	if err != nil {
		return seal.Ring{}, err
	}
	for _, k := range all {
		if err := t.hang(&ring, k); err != nil {
			return seal.Ring{}, err
		}
	}
	if ring.Signer == nil || ring.Herald == nil {
		return seal.Ring{}, errors.New("no signing key is in use")
	}
	succeed(ring.Reigns)
	return ring, nil
}

// followRing reads the keys again where they have changed. The version is read
// before the keys: what is too old is noticed the next time.
func (t *Tx) followRing() error {
	version, err := t.setVersion()
	if err != nil || version == t.db.ring.Load().Version {
		return err
	}
	ring, err := t.loadRing()
	if err == nil {
		t.db.ring.Store(&ring)
	}
	return err
}

// hang puts a key on the ring. All that it believes of the row is what is
// wrapped in it: the other columns are anybody's who can write to the database.
func (t *Tx) hang(ring *seal.Ring, k keyRow) error {
	if k.State == KeyRetired {
		return t.remember(ring, k)
	}
	private, err := t.private(k)
	if err != nil {
		return err
	}
	public := private.Public().(ed25519.PublicKey)
	ring.Past = append(ring.Past, public)
	ring.Trusted = append(ring.Trusted, public)
	if k.State == KeyAnnounced {
		return nil
	}
	ring.Reigns = append(ring.Reigns, seal.Reign{Key: public, From: *k.CurrentFrom, UpTo: math.MaxInt64})
	if ring.Herald == nil {
		ring.Herald = private
	}
	if k.State == KeyCurrent {
		ring.Signer = private
	}
	return nil
}

// private unwraps a key that is not retired.
func (t *Tx) private(k keyRow) (ed25519.PrivateKey, error) {
	seed, err := t.db.wrap.Unwrap(signingRow(k.ID), k.wrapped)
	if err != nil || len(seed) != ed25519.SeedSize {
		return nil, strange(k)
	}
	defer seed.Wipe()
	private := ed25519.NewKeyFromSeed(seed)
	return private, genuine(k, private.Public().(ed25519.PublicKey))
}

// genuine refuses a row that shows another key than the one wrapped in it.
func genuine(k keyRow, public ed25519.PublicKey) error {
	if seal.KeyID(public) != k.ID || !bytes.Equal(public, k.public) {
		return strange(k)
	}
	return nil
}

func strange(k keyRow) error {
	return latchkey.Errorf(latchkey.Conflict, "the signing key %.40q (%s) is not one that this server wrote: its row in signing_keys was added or changed", k.ID, k.State).
		WithHint("somebody can write to the database: find out who, then restore a backup from before")
}

// succeed ends each reign where the next begins. The first one began with the
// deployment: an earlier version did not say when.
func succeed(all []seal.Reign) {
	slices.SortStableFunc(all, func(a, b seal.Reign) int { return a.From.Compare(b.From) })
	for i := range all[1:] {
		if all[i].Until.IsZero() {
			all[i].Until = all[i+1].From
		}
	}
	all[0].From = time.Time{}
}

func signingRow(id string) string { return "signing_keys/" + id }

// setVersion is the version of the set of keys.
func (t *Tx) setVersion() (uint64, error) {
	var epoch, changes string
	const get = "SELECT value FROM meta WHERE name = $1"
	if err := t.exec("INSERT INTO meta (name, value) VALUES ('keyset', '0') ON CONFLICT (name) DO NOTHING"); err != nil {
		return 0, err
	}
	if err := errors.Join(t.row(get, "epoch").Scan(&epoch), t.row(get, "keyset").Scan(&changes)); err != nil {
		return 0, err
	}
	e, err := strconv.ParseUint(epoch, 10, epochSize)
	c, err2 := strconv.ParseUint(changes, 10, epochBits)
	if err := errors.Join(err, err2); err != nil {
		return 0, fmt.Errorf("version of the signing keys: %w", err)
	}
	return e<<epochBits | c, nil
}

// changed raises the version of the set and writes the event.
func (t *Tx) ringChanged(id string, e latchkey.Event) error {
	e.Detail = with(e.Detail, "key", id)
	return errors.Join(
		t.exec("UPDATE meta SET value = CAST(CAST(value AS BIGINT) + 1 AS TEXT) WHERE name = 'keyset'"), t.addEvent(e))
}

func (t *Tx) firstKey() error {
	seed, err := t.secret("signing", random(ed25519.SeedSize))
	if err != nil {
		return err
	}
	defer seed.Wipe()
	id, err := t.addKey(seed, t.db.now())
	if err != nil {
		return err
	}
	return errors.Join(
		t.exec("UPDATE signing_keys SET current_from = made_at WHERE id = $1", id),
		t.exec("DELETE FROM secrets WHERE name = 'signing'"))
}

func (t *Tx) addKey(seed secret.Bytes, made time.Time) (string, error) {
	pub := ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey)
	id := seal.KeyID(pub)
	wrapped, err := t.wrap(signingRow(id), seed)
	if err != nil {
		return "", err
	}
	const insert = "INSERT INTO signing_keys (id, public, wrapped, made_at) VALUES ($1, $2, $3, $4)"
	return id, t.exec(insert, id, []byte(pub), wrapped, made.UnixMilli())
}

// SigningKeys lists the keys, the oldest first.
func (db *DB) SigningKeys(ctx context.Context) (list []SigningKey, err error) {
	err = db.InTx(ctx, func(t *Tx) error {
		list = nil
		all, err := t.keyRows()
		for _, k := range all {
			if err := t.row("SELECT count(*) FROM machines WHERE state IN ('active', 'quarantined') AND coalesce(last_contact, 0) < $1",
				k.MadeAt.Add(Spread).UnixMilli()).Scan(&k.Unaware); err != nil {
				return err
			}
			list = append(list, k.SigningKey)
		}
		return err
	})
	return list, err
}

// AnnounceKey makes the next signing key and tells machines of it; nothing is
// signed with it yet. Conflict where one is announced.
func (db *DB) AnnounceKey(ctx context.Context, e latchkey.Event) (id string, err error) {
	seed := make(secret.Bytes, ed25519.SeedSize)
	defer seed.Wipe()
	if _, err := io.ReadFull(db.rand, seed); err != nil {
		return "", fmt.Errorf("making a signing key: %w", err)
	}
	err = db.InTx(ctx, func(t *Tx) error {
		all, err := t.keyRows()
		if err != nil {
			return err
		}
		if k := inState(all, KeyAnnounced); k != nil {
			return latchkey.Errorf(latchkey.Conflict, "the key %s is announced already", k.ID).WithHint("latchkey key switch, or key retire %s", k.ID)
		}
		if id, err = t.addKey(seed, madeAfter(all, db.now())); err != nil {
			return err
		}
		return t.ringChanged(id, e)
	})
	return id, err
}

// SwitchKey signs with the announced key from now on. The one before is
// believed until what it signed has ended. With hurry it does not wait until
// all servers tell of the key.
func (db *DB) SwitchKey(ctx context.Context, hurry bool, e latchkey.Event) (id string, err error) {
	err = db.InTx(ctx, func(t *Tx) error {
		all, err := t.keyRows()
		if err != nil {
			return err
		}
		next, now := inState(all, KeyAnnounced), db.now()
		if next == nil {
			return latchkey.Errorf(latchkey.Conflict, "no key is announced").WithHint("latchkey key announce, then give the machines time to hear of it")
		}
		if wait := next.MadeAt.Add(Spread).Sub(now); wait > 0 && !hurry {
			return latchkey.Errorf(latchkey.Conflict, "the key was announced less than %v ago", Spread).
				WithHint("wait another %v, so that every server tells machines of it", wait.Round(time.Second))
		}
		before := inState(all, KeyCurrent)
		from, err := t.switchAt(*before, now)
		if err != nil {
			return err
		}
		if from.Sub(now) > seal.Slack && !hurry {
			return latchkey.Errorf(latchkey.Conflict, "the clock says %s, and the server has signed at %s", now.Format(time.RFC3339), from.Format(time.RFC3339)).
				WithHint("set the clock right first; --now where it is right, and was ahead then")
		}
		id = next.ID
		return errors.Join(
			t.exec("UPDATE signing_keys SET trusted_until = $1 WHERE id = $2", from.Add(fleet.HeaderLife).UnixMilli(), before.ID),
			t.exec("UPDATE signing_keys SET current_from = $1 WHERE id = $2", from.UnixMilli(), id),
			t.ringChanged(id, e))
	})
	return id, err
}

// madeAfter keeps keys in the order in which they were made, also where the clock
// was ahead once.
func madeAfter(all []keyRow, now time.Time) time.Time {
	for _, k := range all {
		if now.Before(k.MadeAt) {
			now = k.MadeAt.Add(time.Millisecond)
		}
	}
	return now
}

// aheadAtMost is how far a moment in the database may lie ahead and be a clock
// that was wrong: what is beyond, somebody made up.
const aheadAtMost = 2 * 366 * 24 * time.Hour

// switchAt is when the reign of a key ends that is replaced now: not before it
// began, and not before what it sealed of the audit trail, also where the clock
// was ahead then or is behind now.
func (t *Tx) switchAt(before keyRow, now time.Time) (time.Time, error) {
	var sealed int64
	const last = "SELECT coalesce(max(at), 0) FROM checkpoints WHERE at <= $1"
	if err := t.row(last, now.Add(aheadAtMost).UnixMilli()).Scan(&sealed); err != nil {
		return time.Time{}, err
	}
	at := max(now.UnixMilli(), sealed, before.CurrentFrom.UnixMilli()+1)
	return time.UnixMilli(at).UTC(), nil
}

// RetireKey has machines believe a key no more, and destroys it. Conflict for
// the current one and, unless it is compromised, for one whose signatures have
// not ended. An announced key is withdrawn.
func (db *DB) RetireKey(ctx context.Context, id string, compromised bool, e latchkey.Event) error {
	return db.InTx(ctx, func(t *Tx) error {
		all, err := t.keyRows()
		if err != nil {
			return err
		}
		now := db.now()
		for _, k := range all {
			switch {
			case k.ID != id:
				continue
			case k.State == KeyCurrent:
				return latchkey.Errorf(latchkey.Conflict, "the key is in use").WithHint("latchkey key announce and key switch put another in its place")
			case k.State == KeyRetired:
				return latchkey.Errorf(latchkey.Conflict, "the key is retired already")
			case k.State == KeyBelieved && k.TrustedUntil == nil && !compromised:
				return latchkey.Errorf(latchkey.Conflict, "nobody noted until when what the key signed holds").WithHint("30 days after the switch, --compromised")
			case k.State == KeyBelieved && !compromised && now.Before(*k.TrustedUntil):
				return latchkey.Errorf(latchkey.Conflict, "what the key signed holds until %s", k.TrustedUntil.Format(time.RFC3339)).
					WithHint("wait; a key that somebody else may have goes with --compromised")
			}
			return errors.Join(t.retire(k, all, now), t.ringChanged(id, e))
		}
		return latchkey.Errorf(latchkey.NotFound, "no such key")
	})
}

func inState(all []keyRow, state string) *keyRow {
	for i := range all {
		if all[i].State == state {
			return &all[i]
		}
	}
	return nil
}
