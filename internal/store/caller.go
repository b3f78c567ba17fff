package store

import (
	"context"
	"database/sql"
	"errors"

	"latchkey"
)

type callerKey struct{}

// As returns a context for what an administrator asks for with a token. Every
// InTx under it looks first whether the token is there, has not ended, and whether
// its owner is who he was: between the door's look and the command others may have
// put him out, and what he writes then would outlive that. It is Unauthorized, and
// nothing is written.
func (db *DB) As(ctx context.Context, k latchkey.APIToken) context.Context {
	return context.WithValue(ctx, callerKey{}, k)
}

func (t *Tx) admit(ctx context.Context) error {
	k, asked := ctx.Value(callerKey{}).(latchkey.APIToken)
	if !asked {
		return nil // the server itself, or a machine: their statements have conditions of their own
	}
	const look = `SELECT a.id FROM api_tokens t JOIN admins a ON a.id = t.admin_id
		WHERE t.id = $1 AND a.id = $2 AND a.role = $3 AND NOT a.disabled AND (t.expires_at IS NULL OR t.expires_at > $4)`
	var id string
	err := t.row(look, k.ID, k.Admin.ID, string(k.Admin.Role), t.db.now().UnixMilli()).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return latchkey.Errorf(latchkey.Unauthorized, "the token has ended").
			WithHint("make one on the server's machine: latchkey admin reset NAME --data DIR")
	}
	return err
}
