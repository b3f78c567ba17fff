package store

import (
	"database/sql"
	"errors"

	"latchkey/internal/authn"
)

// moves changes the credentials' states. claimed: some machine said that it used
// the code that is consumed, or a later one, and was not believed.
func (t *Tx) moves(s authn.Settlement) (claimed bool, err error) {
	for _, m := range s.Moves {
		past, err := t.move(s, m)
		if err != nil {
			return false, err
		}
		claimed = claimed || m.Used && past >= int64(m.To.Next)
	}
	return claimed, nil
}

// move changes a credential's state from what the answer was judged by. A
// state that somebody else changed, or an authenticator that was removed, sends
// the answer back to be judged anew. claimed is past all that machines said they
// had used of it without being believed.
func (t *Tx) move(s authn.Settlement, m authn.Move) (claimed int64, err error) {
	if s.Apart {
		return t.moveApart(s, m)
	}
	used := sql.NullInt64{Int64: s.Now.UnixMilli(), Valid: m.Used}
	const update = `UPDATE authenticators SET next_use = $1, fails = $2, debt = $3, retry_at = $4, last_used = coalesce($5, last_used)
		WHERE id = $6 AND next_use = $7 AND fails = $8 AND debt = $9 AND removed_at IS NULL RETURNING claimed`
	err = t.row(update, int64(m.To.Next), m.To.Fails, m.To.Debt, millis(m.To.RetryAt), used,
		string(m.Credential), int64(m.From.Next), m.From.Fails, m.From.Debt).Scan(&claimed)
	if errors.Is(err, sql.ErrNoRows) {
		err = authn.ErrRaced
	}
	return claimed, err
}
