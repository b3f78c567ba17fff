package store

import (
	"context"
	"database/sql"
	"errors"

	"latchkey"
	"latchkey/internal/authn"
)

// apart puts the failures of the user's own programs on the machine in the
// place of everybody else's. It is a second look at the database; what changes
// between the two makes the settlement race.
func (db *DB) apart(ctx context.Context, m latchkey.MachineID, f *authn.Facts) error {
	for _, c := range []*authn.Candidate{f.Named, f.Pinned} {
		if c == nil {
			continue
		}
		own, err := db.ownFailures(ctx, m, c.User.ID)
		if err != nil {
			return err
		}
		for i := range c.Held {
			s := &c.Held[i].State
			next := s.Next
			*s = own[c.Held[i].ID]
			s.Next = next
		}
	}
	return nil
}

// ownFailures are the failures of a user's own programs on a machine; without
// the state's next step or counter, which is everybody's.
func (db *DB) ownFailures(ctx context.Context, m latchkey.MachineID, u latchkey.UserID) (map[latchkey.AuthenticatorID]latchkey.CredentialState, error) {
	out := map[latchkey.AuthenticatorID]latchkey.CredentialState{}
	err := db.query(ctx, func(r *sql.Rows) error {
		var id latchkey.AuthenticatorID
		var s latchkey.CredentialState
		var retry sql.NullInt64
		err := r.Scan(&id, &s.Fails, &s.Debt, &retry)
		s.RetryAt = timeOf(retry)
		out[id] = s
		return err
	}, "SELECT authenticator_id, fails, debt, retry_at FROM own_failures WHERE machine_id = $1 AND user_id = $2", string(m), string(u))
	return out, err
}

// moveApart is move for an answer that came through one of the user's own
// programs: a code that is used is used for everybody, a failure is theirs.
func (t *Tx) moveApart(s authn.Settlement, m authn.Move) (claimed int64, err error) {
	if m.To.Next != m.From.Next {
		const use = `UPDATE authenticators SET next_use = $1, last_used = $2 WHERE id = $3 AND next_use = $4 AND removed_at IS NULL
			RETURNING claimed`
		err := t.row(use, int64(m.To.Next), s.Now.UnixMilli(), string(m.Credential), int64(m.From.Next)).Scan(&claimed)
		if errors.Is(err, sql.ErrNoRows) {
			err = authn.ErrRaced
		}
		if err != nil {
			return 0, err
		}
	}
	const charge = `INSERT INTO own_failures (machine_id, user_id, authenticator_id, fails, debt, retry_at)
		VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (machine_id, user_id, authenticator_id) DO UPDATE SET
		fails = excluded.fails, debt = excluded.debt, retry_at = excluded.retry_at
		WHERE own_failures.fails = $7 AND own_failures.debt = $8`
	n, err := t.affected(charge, string(s.Machine), string(s.User), string(m.Credential), m.To.Fails, m.To.Debt, millis(m.To.RetryAt),
		m.From.Fails, m.From.Debt)
	if err == nil && n != 1 {
		err = authn.ErrRaced
	}
	return claimed, err
}
