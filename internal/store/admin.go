package store

import (
	"context"
	"errors"

	"latchkey"
)

// Owner is the role that may do everything.
const Owner = "owner"

// CreateAdmin writes an administrator with one API token, of which it is given
// the hash. It returns Conflict where the name is taken.
func (db *DB) CreateAdmin(ctx context.Context, name, role string, hash []byte, e latchkey.Event) error {
	id, err := db.newID("adm")
	if err != nil {
		return err
	}
	return db.InTx(ctx, func(t *Tx) error {
		const insert = "INSERT INTO admins (id, name, fold, role, created_at) VALUES ($1, $2, $3, $4, $5)"
		err := t.exec(insert, id, name, latchkey.FoldName(name), role, db.now().UnixMilli())
		if unique(err) {
			return latchkey.Errorf(latchkey.Conflict, "an administrator with that name exists").
				WithHint("latchkey admin reset NAME gives the administrator a new token")
		}
		return errors.Join(err, t.addToken(id, hash), t.addEvent(e))
	})
}

// ResetAdmin ends every token of an administrator, gives him one new token and
// lets him in again where he was disabled.
func (db *DB) ResetAdmin(ctx context.Context, name string, hash []byte, e latchkey.Event) error {
	return db.InTx(ctx, func(t *Tx) error {
		var id string
		if err := t.row("SELECT id FROM admins WHERE fold = $1", latchkey.FoldName(name)).Scan(&id); err != nil {
			return found(err, "no such administrator")
		}
		return errors.Join(
			t.exec("DELETE FROM api_tokens WHERE admin_id = $1", id),
			t.exec("UPDATE admins SET disabled = FALSE WHERE id = $1", id),
			t.addToken(id, hash), t.addEvent(e))
	})
}

func (t *Tx) addToken(admin string, hash []byte) error {
	const insert = "INSERT INTO api_tokens (hash, admin_id, label, created_at) VALUES ($1, $2, $3, $4)"
	return t.exec(insert, hash, admin, "first", t.db.now().UnixMilli())
}

// AdminByToken returns who has a token. It returns NotFound where nobody does,
// where it has ended and where its owner is disabled.
func (db *DB) AdminByToken(ctx context.Context, hash []byte) (name, role string, err error) {
	const query = `SELECT a.name, a.role FROM api_tokens t JOIN admins a ON a.id = t.admin_id
		WHERE t.hash = $1 AND NOT a.disabled AND (t.expires_at IS NULL OR t.expires_at > $2)`
	err = db.row(ctx, query, hash, db.now().UnixMilli()).Scan(&name, &role)
	return name, role, found(err, "no such token")
}

// HasAdmins reports whether there is an administrator yet.
func (db *DB) HasAdmins(ctx context.Context) (bool, error) {
	var n int
	err := db.row(ctx, "SELECT count(*) FROM admins").Scan(&n)
	return n > 0, err
}

// Record writes an event that tells of no change: a refusal, a start.
func (db *DB) Record(ctx context.Context, e latchkey.Event) error {
	return db.InTx(ctx, func(t *Tx) error { return t.addEvent(e) })
}
