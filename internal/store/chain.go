package store

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"latchkey/internal/audit"
	"latchkey/internal/seal"
)

// chained are the columns of an event that its hash covers: all but the place
// in the chain itself. The order is part of the format.
const chained = "id, time, kind, actor, user_id, user_name, machine_id, host, outcome, reason, offline, scenario, logon, credential, used, seq, detail"

const chainedCount = 17

// placed chooses rows with a place. Text sorts behind all numbers: somebody who
// writes text into the column breaks the chain, not the one who looks at it.
const placed = "position <= 9000000000000000000"

// Seal gives rows without a place their position and hash, oldest first, and
// stores the checkpoint of the last, in one transaction. ours is false where
// another holder has the lease. audit.ErrAltered: it sealed, behind a gap.
func (db *DB) Seal(ctx context.Context, r audit.Round) (sealed int, ours bool, err error) {
	var work bool
	if err := db.row(ctx, "SELECT EXISTS (SELECT 1 FROM events WHERE position IS NULL)").Scan(&work); err != nil || !work {
		return 0, true, err
	}
	var end head
	var altered error
	err = db.beside(ctx, func(t *Tx) error {
		sealed, end, altered = 0, head{}, nil
		if ours, err = t.hold("sealer", r.Holder, r.Lease); err != nil {
			return err
		}
		if err = t.inForce(); err != nil {
			return err
		}
		if !ours {
			end, _, err = t.noted() // for the day on which the lease comes here
			return err
		}
		if err = t.followRing(); err != nil {
			return err
		}
		sealed, end, altered, err = t.seal(r)
		return err
	})
	if err != nil {
		return 0, ours, err
	}
	db.see(end)
	return sealed, ours, altered
}

// hold takes a lease or prolongs it. One that ends later than any that could
// be given now is from a clock that ran ahead, and counts for nothing.
func (t *Tx) hold(name, holder string, length time.Duration) (bool, error) {
	now := t.db.now()
	const take = `INSERT INTO leases (name, holder, ends) VALUES ($1, $2, $3)
		ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, ends = excluded.ends
		WHERE leases.holder = excluded.holder OR leases.ends <= $4 OR leases.ends > excluded.ends`
	n, err := t.affected(take, name, holder, now.Add(length).UnixMilli(), now.UnixMilli())
	return n == 1, err
}

// seal returns an error of audit.ErrAltered as altered: what it did stays done.
func (t *Tx) seal(r audit.Round) (sealed int, end head, altered, err error) {
	end, altered, err = t.follow()
	if err != nil {
		return 0, end, nil, err
	}
	var rows []audit.Link
	err = t.query(func(r *sql.Rows) error {
		l, err := scanLink(r, false)
		rows = append(rows, l)
		return err
	}, "SELECT "+chained+" FROM events WHERE position IS NULL ORDER BY id LIMIT $1", r.Most)
	if err != nil || len(rows) == 0 {
		return 0, end, altered, err
	}
	var places [][]any
	for _, l := range rows {
		end.position++
		end.hash = audit.Next(end.hash, end.position, l.Columns)
		places = append(places, []any{end.position, end.hash, l.Columns[0]})
	}
	const place = "UPDATE events SET position = $1, hash = $2 WHERE id = $3 AND position IS NULL"
	if err := t.ones("event", place, places); err != nil {
		return 0, end, nil, err
	}
	if end.sum, err = t.checkpoint(end.position, end.hash, r); err == nil {
		err = t.note(end)
	}
	return len(rows), end, altered, err
}

// checkpoint stores a signature over the last row. Of the checkpoints of one
// block and one minute the last is kept.
func (t *Tx) checkpoint(position int64, hash []byte, r audit.Round) (sum [sha256.Size]byte, err error) {
	now := t.db.sealedAt()
	signed, err := r.Sign(position, hash, now)
	if err != nil {
		return sum, err
	}
	const thin = `DELETE FROM checkpoints WHERE position = (SELECT max(position) FROM checkpoints)
		AND position / $1 = $2 / $1 AND at / 60000 = CAST($3 AS BIGINT) / 60000`
	const add = "INSERT INTO checkpoints (position, at, signed) VALUES ($1, $2, $3)"
	return sha256.Sum256([]byte(signed)), errors.Join(
		t.exec(thin, int64(audit.Block), position, now.UnixMilli()),
		t.exec(add, position, now.UnixMilli(), signed))
}

// sealedAt is now, and not before the key began that signs: it was put into use
// while a clock was ahead, and nobody could tell what it signs from what a thief
// of the key made up.
func (db *DB) sealedAt() time.Time {
	now, ring := db.now(), db.Ring()
	reign, _ := ring.Reign(seal.KeyID(ring.Signer.Public().(ed25519.PublicKey)))
	if now.Before(reign.From) {
		return reign.From
	}
	return now
}

// scanLink reads whatever the columns hold: a value of a wrong type is a broken
// link, and must not hide behind an error.
func scanLink(row scanner, sealed bool) (audit.Link, error) {
	l := audit.Link{Columns: make([]any, chainedCount)}
	var into []any
	for i := range l.Columns {
		into = append(into, &l.Columns[i])
	}
	var position, hash any
	if sealed {
		into = append(into, &position, &hash)
	}
	if err := row.Scan(into...); err != nil {
		return audit.Link{}, err
	}
	l.ID = fmt.Sprint(l.Columns[0])
	l.Position, _ = position.(int64) // 0 is no position: a gap
	l.Hash, _ = hash.([]byte)        // nil is no hash: altered
	return l, nil
}

// Ends returns the ends of the chain at one moment.
func (db *DB) Ends(ctx context.Context) (audit.Ends, error) {
	const query = "SELECT (SELECT coalesce(max(position), 0) FROM events WHERE " + placed + "), " +
		"(SELECT coalesce(max(position), 0) FROM checkpoints WHERE " + placed + "), " +
		"(SELECT count(*) FROM events WHERE position IS NOT NULL), (SELECT count(*) FROM events WHERE position IS NULL), " +
		"(SELECT wrapped FROM heads WHERE name = 'audit'), (SELECT value FROM meta WHERE name = 'master')"
	var e audit.Ends
	var wrapped []byte
	var master sql.NullString
	err := db.row(ctx, query).Scan(&e.Sealed, &e.Signed, &e.Rows, &e.Unsealed, &wrapped, &master)
	if err == nil {
		err = db.outlived(master.String)
	}
	if h, ok := db.openHead(wrapped); ok {
		e.Noted = &audit.Place{Position: h.position, Hash: h.hash}
	}
	return e, err
}

// Unsealed counts the rows without a position.
func (db *DB) Unsealed(ctx context.Context) (int64, error) {
	var n int64
	err := db.row(ctx, "SELECT count(*) FROM events WHERE position IS NULL").Scan(&n)
	return n, err
}

// Links returns rows behind a position, in the order of the chain.
func (db *DB) Links(ctx context.Context, after int64, limit int) ([]audit.Link, error) {
	var out []audit.Link
	err := db.query(ctx, func(r *sql.Rows) error {
		l, err := scanLink(r, true)
		out = append(out, l)
		return err
	}, "SELECT "+chained+", position, hash FROM events WHERE position > $1 ORDER BY position LIMIT $2", after, limit)
	return out, err
}

// Checkpoints returns those behind a position, up to and with another.
func (db *DB) Checkpoints(ctx context.Context, after, upTo int64) ([]audit.Signed, error) {
	var out []audit.Signed
	err := db.query(ctx, func(r *sql.Rows) error {
		var s audit.Signed
		err := r.Scan(&s.Position, &s.Envelope)
		out = append(out, s)
		return err
	}, "SELECT position, signed FROM checkpoints WHERE position > $1 AND position <= $2 ORDER BY position", after, upTo)
	return out, err
}
