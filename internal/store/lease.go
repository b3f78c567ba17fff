package store

import (
	"context"
	"database/sql"
	"errors"
	"maps"
	"slices"
	"time"

	"latchkey"
	"latchkey/internal/fleet"
	"latchkey/internal/verify"
)

// Token returns an authenticator with its state and whose it is.
func (db *DB) Token(ctx context.Context, id latchkey.AuthenticatorID) (latchkey.User, verify.Held, error) {
	var u userRow
	var a authRow
	dest := append(u.dest(), &a.id, &a.kind, &a.label, &a.algorithm, &a.digits, &a.period, &a.wrapped,
		&a.next, &a.fails, &a.debt, &a.retry, &a.handed)
	err := db.row(ctx, `SELECT u.id, u.name, u.directory, u.disabled, u.deleted_at, u.member_of,
			a.id, a.kind, a.label, a.algorithm, a.digits, a.period, a.wrapped, a.next_use, a.fails, a.debt, a.retry_at, a.lease_to
		FROM authenticators a JOIN users u ON u.id = a.user_id
		WHERE a.id = $1 AND a.removed_at IS NULL AND u.deleted_at IS NULL`, string(id)).Scan(dest...)
	if err = found(err, "no such authenticator"); err != nil {
		return latchkey.User{}, verify.Held{}, err
	}
	user, err := u.noun()
	if err != nil {
		return latchkey.User{}, verify.Held{}, err
	}
	held, err := a.held(db)
	return user, held, err
}

// Advance moves the counter of a token from what it was read as, upwards.
func (db *DB) Advance(ctx context.Context, id latchkey.AuthenticatorID, from, to uint64, e latchkey.Event) error {
	return db.InTx(ctx, func(t *Tx) error {
		const update = `UPDATE authenticators SET next_use = $1
			WHERE id = $2 AND next_use = $3 AND next_use < $1 AND removed_at IS NULL`
		n, err := t.affected(update, int64(to), string(id), int64(from))
		if err == nil && n != 1 {
			err = latchkey.Errorf(latchkey.Conflict, "the token was used meanwhile").WithHint("try again with two new codes")
		}
		return errors.Join(err, t.addEvent(e))
	})
}

// MoveLease gives the lease of a token to a machine, whoever had it. How far
// codes were handed out stays: their holder may have used them.
// The one that has it keeps it until the end that it has: moved is false.
func (db *DB) MoveLease(ctx context.Context, id latchkey.AuthenticatorID, to latchkey.MachineID, until time.Time, e latchkey.Event) (ends time.Time, moved bool, err error) {
	err = db.InTx(ctx, func(t *Tx) error {
		const update = `UPDATE authenticators SET lease_machine = $1, lease_until = $2
			WHERE id = $3 AND kind = 'hotp' AND removed_at IS NULL
			AND EXISTS (SELECT 1 FROM machines WHERE id = $1 AND state = 'active')`
		var from, holder sql.NullString
		var has sql.NullInt64
		err := t.row(`SELECT m.name, a.lease_machine, a.lease_until FROM authenticators a LEFT JOIN machines m ON m.id = a.lease_machine
			WHERE a.id = $1`, string(id)).Scan(&from, &holder, &has)
		if err = found(err, "no such authenticator"); err != nil {
			return err
		}
		if ends, moved = timeOf(has), false; holder.String == string(to) && db.now().Before(ends) {
			return nil
		}
		ends, moved = until, true
		e := e
		e.Detail = with(e.Detail, "from", from.String)
		return errors.Join(t.one("authenticator", update, string(to), until.UnixMilli(), string(id)), t.addEvent(e))
	})
	return ends, moved, err
}

// EnrolledOn reports whether a user logged in on a machine and was not
// disenrolled since.
func (db *DB) EnrolledOn(ctx context.Context, u latchkey.UserID, m latchkey.MachineID) (bool, error) {
	var n int
	err := db.row(ctx, `SELECT count(*) FROM enrollments WHERE user_id = $1 AND machine_id = $2
		AND enrolled_at IS NOT NULL AND removed_at IS NULL`, string(u), string(m)).Scan(&n)
	return n > 0, err
}

// ReleaseLease ends the lease of a token, if it is still the one that was read.
func (db *DB) ReleaseLease(ctx context.Context, r fleet.Release) error {
	return db.InTx(ctx, func(t *Tx) error {
		const update = `UPDATE authenticators SET lease_until = $1 WHERE id = $2 AND lease_machine = $3 AND lease_until = $4`
		n, err := t.affected(update, r.Now.UnixMilli(), string(r.Token), string(r.Machine), r.Until.UnixMilli())
		if err == nil && n != 1 {
			err = fleet.ErrRaced
		}
		return errors.Join(err, t.addEvent(r.Event))
	})
}

// holder keeps the machine that is to have leases as it is, to the end of the
// transaction. Who removes it waits, and then ends these leases too: where
// transactions run beside each other he would not see them before they are
// stored, and no code would go to another machine until they run out.
func (t *Tx) holder(i fleet.Issue) error {
	if len(i.Leases) == 0 {
		return nil
	}
	n, err := t.affected("UPDATE machines SET state = state WHERE id = $1 AND state = 'active'", string(i.Machine))
	if err == nil && n != 1 {
		err = fleet.ErrRaced
	}
	return err
}

// handOut hands the codes of a token to a machine, where the lease is still
// as the issue was judged by.
func (t *Tx) handOut(i fleet.Issue, l fleet.Lease) error {
	const update = `UPDATE authenticators SET lease_machine = $1, lease_until = $2,
		lease_to = CASE WHEN lease_to > $3 THEN lease_to ELSE $3 END
		WHERE id = $4 AND removed_at IS NULL AND coalesce(lease_machine, '') = $5 AND coalesce(lease_until, 0) = $6`
	n, err := t.affected(update, string(i.Machine), l.Until.UnixMilli(), int64(l.To), string(l.Token), string(l.From), anchorOf(l.FromUntil))
	if err == nil && n != 1 {
		err = fleet.ErrRaced
	}
	const handed = `INSERT INTO handouts (authenticator_id, machine_id, handed, base, anchor) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (authenticator_id, machine_id) DO UPDATE SET
		handed = CASE WHEN handouts.handed > excluded.handed THEN handouts.handed ELSE excluded.handed END,
		base = CASE WHEN handouts.anchor = excluded.anchor THEN handouts.base ELSE excluded.base END,
		anchor = excluded.anchor`
	if err == nil {
		err = t.exec(handed, string(l.Token), string(i.Machine), int64(l.To), int64(l.Base), anchorOf(l.Anchor))
	}
	if err == nil && l.Event != nil {
		err = t.addEvent(*l.Event)
	}
	return err
}

// shelve notes which codes of apps the machine is handed. All that it ever was
// handed it may have used; how often it has used up codes of the present begins
// anew with the anchor.
func (t *Tx) shelve(i fleet.Issue) error {
	const handed = `INSERT INTO handouts (authenticator_id, machine_id, handed, first, base, anchor) VALUES ($1, $2, $3, $4, 0, $5)
		ON CONFLICT (authenticator_id, machine_id) DO UPDATE SET
		handed = CASE WHEN handouts.handed > excluded.handed THEN handouts.handed ELSE excluded.handed END,
		first = CASE WHEN handouts.first < excluded.first THEN handouts.first ELSE excluded.first END,
		burnt = CASE WHEN handouts.anchor = excluded.anchor THEN handouts.burnt ELSE 0 END,
		anchor = excluded.anchor`
	var books [][]any
	for _, b := range i.Books {
		books = append(books, []any{string(b.Token), string(i.Machine), int64(b.To), int64(b.First), anchorOf(b.Anchor)})
	}
	if books == nil {
		return nil
	}
	return t.ones("handout", handed, books)
}

// burn counts that the machine used up codes of the present.
func (t *Tx) burn(m fleet.Merger) error {
	const count = `UPDATE handouts SET burnt = CASE WHEN anchor = $1 THEN burnt + 1 ELSE 1 END, anchor = $1
		WHERE authenticator_id = $2 AND machine_id = $3`
	for _, id := range slices.Sorted(maps.Keys(m.Burns)) {
		if err := t.exec(count, anchorOf(m.Burns[id]), string(id), string(m.Machine)); err != nil {
			return err
		}
	}
	return nil
}

// endLeases ends the leases that removed machines hold: their codes may go to
// another.
func (t *Tx) endLeases() error {
	return t.exec(`UPDATE authenticators SET lease_until = $1
		WHERE lease_until > $1 AND lease_machine IN (SELECT id FROM machines WHERE state = 'removed')`, t.db.now().UnixMilli())
}

// leaseOf is where the lease of an authenticator is, for people: nowhere, once it
// was given up or has ended.
func (db *DB) leaseOf(host sql.NullString, until sql.NullInt64) *latchkey.Lease {
	if !host.Valid || !db.now().Before(timeOf(until)) {
		return nil
	}
	return &latchkey.Lease{Host: host.String, Until: timeOf(until)}
}
