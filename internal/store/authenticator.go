package store

import (
	"context"
	"database/sql"
	"errors"

	"latchkey"
	"latchkey/internal/enroll"
	"latchkey/internal/secret"
)

var _ enroll.Store = (*DB)(nil)

const authenticatorRows = `SELECT a.id, a.user_id, a.kind, a.label, a.algorithm, a.digits, a.period, a.created_at, a.last_used, m.name, a.lease_until
	FROM authenticators a LEFT JOIN machines m ON m.id = a.lease_machine WHERE a.removed_at IS NULL AND `

// AuthenticatorsOf returns what a user has, the oldest first.
func (db *DB) AuthenticatorsOf(ctx context.Context, id latchkey.UserID) ([]latchkey.Authenticator, error) {
	return db.someAuthenticators(ctx, "a.user_id = $1 ORDER BY a.created_at, a.id", string(id))
}

// AuthenticatorsBetween returns what those have whose folded names are from
// first to last, of each the oldest first.
func (db *DB) AuthenticatorsBetween(ctx context.Context, first, last string) ([]latchkey.Authenticator, error) {
	return db.someAuthenticators(ctx, `a.user_id IN (SELECT id FROM users WHERE deleted_at IS NULL AND fold >= $1 AND fold <= $2)
		ORDER BY a.created_at, a.id`, first, last)
}

func (db *DB) someAuthenticators(ctx context.Context, which string, args ...any) ([]latchkey.Authenticator, error) {
	var out []latchkey.Authenticator
	err := db.query(ctx, func(r *sql.Rows) error {
		var a latchkey.Authenticator
		var created, used, until sql.NullInt64
		var host sql.NullString
		err := r.Scan(&a.ID, &a.User, &a.Kind, &a.Label, &a.Algorithm, &a.Digits, &a.Period, &created, &used, &host, &until)
		a.Lease = db.leaseOf(host, until)
		a.CreatedAt, a.LastUsed = timeOf(created), timeOf(used)
		out = append(out, a)
		return err
	}, authenticatorRows+which, args...)
	return out, err
}

// AddAuthenticator stores an authenticator with its seed, wrapped, and names
// it. next is the first step or counter that may be used.
func (db *DB) AddAuthenticator(ctx context.Context, a latchkey.Authenticator, seed secret.Bytes, next uint64, e latchkey.Event) (latchkey.AuthenticatorID, error) {
	id, err := db.newID("aut")
	if err != nil {
		return "", err
	}
	a.ID = latchkey.AuthenticatorID(id)
	e.Detail = with(e.Detail, "authenticator", id)
	return a.ID, db.InTx(ctx, func(t *Tx) error {
		if err := t.roomForOne(a.User); err != nil {
			return err
		}
		wrapped, err := t.wrap(authenticatorRow(a.ID), seed)
		if err != nil {
			return err
		}
		const insert = `INSERT INTO authenticators (id, user_id, kind, label, algorithm, digits, period, wrapped, next_use, created_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`
		return errors.Join(t.exec(insert, id, string(a.User), string(a.Kind), a.Label, a.Algorithm, a.Digits, a.Period,
			wrapped, int64(next), a.CreatedAt.UnixMilli()), t.addEvent(e))
	})
}

// roomForOne refuses one authenticator too many, and a user who is gone.
func (t *Tx) roomForOne(u latchkey.UserID) error {
	var n int
	err := t.row(`SELECT (SELECT count(*) FROM authenticators WHERE user_id = users.id AND removed_at IS NULL)
		FROM users WHERE id = $1 AND deleted_at IS NULL`, string(u)).Scan(&n)
	if err := found(err, "no such user"); err != nil {
		return err
	}
	if n >= enroll.MaxAuthenticators {
		return latchkey.Errorf(latchkey.Conflict, "the user has %d authenticators, and more are not allowed", n).
			WithHint("remove one that is not in use")
	}
	return nil
}

// RemoveAuthenticator takes an authenticator from its user. Its seed goes at
// once; its row stays, for the codes that machines may still report.
func (db *DB) RemoveAuthenticator(ctx context.Context, u latchkey.UserID, id latchkey.AuthenticatorID, e latchkey.Event) error {
	return db.InTx(ctx, func(t *Tx) error {
		const update = `UPDATE authenticators SET removed_at = $1, wrapped = $2, lease_machine = NULL
			WHERE id = $3 AND user_id = $4 AND removed_at IS NULL`
		if err := t.one("authenticator", update, db.now().UnixMilli(), []byte{}, string(id), string(u)); err != nil {
			return err
		}
		return errors.Join(t.forgetAnswers(), t.addEvent(e))
	})
}

// Disenroll ends a user's offline logons on a machine. The row stays until the
// machine has said that it wiped what it held.
func (db *DB) Disenroll(ctx context.Context, u latchkey.UserID, m latchkey.MachineID, e latchkey.Event) error {
	return db.InTx(ctx, func(t *Tx) error {
		const update = `UPDATE enrollments SET removed_at = $1, wiped_at = NULL
			WHERE user_id = $2 AND machine_id = $3 AND enrolled_at IS NOT NULL AND removed_at IS NULL`
		if err := t.one("enrollment", update, db.now().UnixMilli(), string(u), string(m)); err != nil {
			return err
		}
		return t.addEvent(e)
	})
}

// with returns a copy of an event's details with one more.
func with(detail map[string]string, key, value string) map[string]string {
	out := map[string]string{key: value}
	for k, v := range detail {
		out[k] = v
	}
	return out
}
