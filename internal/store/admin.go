package store

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"strings"
	"time"

	"latchkey"
)

// CreateAdmin writes an administrator with one API token, of which it is given
// the hash. It returns Conflict where the name is taken.
func (db *DB) CreateAdmin(ctx context.Context, name string, role latchkey.Role, hash []byte, e latchkey.Event) error {
	id, err := db.newID("adm")
	if err != nil {
		return err
	}
	return db.InTx(ctx, func(t *Tx) error {
		const insert = "INSERT INTO admins (id, name, fold, role, created_at) VALUES ($1, $2, $3, $4, $5)"
		err := t.exec(insert, id, name, latchkey.FoldName(name), string(role), db.now().UnixMilli())
		if unique(err) {
			return latchkey.Errorf(latchkey.Conflict, "an administrator with that name exists").
				WithHint("latchkey admin reset NAME gives the administrator a new token")
		}
		return errors.Join(err, t.addToken(hash, latchkey.APIToken{Admin: latchkey.Admin{ID: id}, Label: "first"}), t.addEvent(e))
	})
}

// ResetAdmin ends every token of an administrator, gives him one new token and
// lets him in again where he was disabled.
func (db *DB) ResetAdmin(ctx context.Context, name string, hash []byte, e latchkey.Event) error {
	return db.InTx(ctx, func(t *Tx) error {
		id, err := t.adminID(name)
		if err != nil {
			return err
		}
		return errors.Join(
			t.exec("DELETE FROM api_tokens WHERE admin_id = $1", id),
			t.exec("UPDATE admins SET disabled = FALSE WHERE id = $1", id),
			t.addToken(hash, latchkey.APIToken{Admin: latchkey.Admin{ID: id}, Label: "first"}), t.forgetAnswers(), t.addEvent(e))
	})
}

// DisableAdmin ends every token of an administrator and lets him in no more. It
// returns Conflict for the last owner.
func (db *DB) DisableAdmin(ctx context.Context, name string, e latchkey.Event) error {
	return db.InTx(ctx, func(t *Tx) error {
		id, err := t.adminID(name)
		if err != nil {
			return err
		}
		if err := errors.Join(
			t.exec("UPDATE admins SET disabled = TRUE WHERE id = $1", id),
			t.exec("DELETE FROM api_tokens WHERE admin_id = $1", id), t.forgetAnswers()); err != nil {
			return err
		}
		var owners int
		const count = "SELECT count(*) FROM admins WHERE role = $1 AND NOT disabled"
		if err := t.row(count, string(latchkey.Owner)).Scan(&owners); err != nil {
			return err
		}
		if owners == 0 {
			return latchkey.Errorf(latchkey.Conflict, "the last owner cannot be disabled")
		}
		return t.addEvent(e)
	})
}

func (t *Tx) adminID(name string) (id string, err error) {
	err = t.row("SELECT id FROM admins WHERE fold = $1", latchkey.FoldName(name)).Scan(&id)
	return id, found(err, "no such administrator")
}

// Admins returns every administrator, by name.
func (db *DB) Admins(ctx context.Context) ([]latchkey.Admin, error) {
	var out []latchkey.Admin
	err := db.query(ctx, func(r *sql.Rows) error {
		var a latchkey.Admin
		var at int64
		err := r.Scan(&a.ID, &a.Name, &a.Role, &a.Disabled, &at)
		a.CreatedAt = time.UnixMilli(at).UTC()
		out = append(out, a)
		return err
	}, "SELECT id, name, role, disabled, created_at FROM admins ORDER BY fold")
	return out, err
}

// IsAdmins reports whether a user, by name or id, bears the name of an
// administrator: they are taken for one person.
func (db *DB) IsAdmins(ctx context.Context, user string) (bool, error) {
	const query = `SELECT EXISTS (SELECT 1 FROM admins WHERE fold = $1)
		OR EXISTS (SELECT 1 FROM users u JOIN admins a ON a.fold = u.fold WHERE u.id = $2)`
	var is bool
	err := db.row(ctx, query, latchkey.FoldName(user), user).Scan(&is)
	return is, err
}

// IsAdminsAuthenticator reports whether an authenticator belongs to a user who
// bears the name of an administrator.
func (db *DB) IsAdminsAuthenticator(ctx context.Context, id latchkey.AuthenticatorID) (bool, error) {
	const query = `SELECT EXISTS (SELECT 1 FROM authenticators t JOIN users u ON u.id = t.user_id
		JOIN admins a ON a.fold = u.fold WHERE t.id = $1)`
	var is bool
	err := db.row(ctx, query, string(id)).Scan(&is)
	return is, err
}

// HasAdmins reports whether there is an administrator yet.
func (db *DB) HasAdmins(ctx context.Context) (bool, error) {
	var n int
	err := db.row(ctx, "SELECT count(*) FROM admins").Scan(&n)
	return n > 0, err
}

// Record writes an event that tells of no change: a refusal, a start.
func (db *DB) Record(ctx context.Context, e latchkey.Event) error {
	return db.beside(ctx, func(t *Tx) error { return t.addEvent(e) })
}

func (t *Tx) addToken(hash []byte, k latchkey.APIToken) error {
	const insert = `INSERT INTO api_tokens (hash, id, admin_id, label, scopes, created_at, expires_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7)`
	var scopes []string
	for _, s := range k.Scopes {
		scopes = append(scopes, string(s))
	}
	return t.exec(insert, hash, tokenID(hash), k.Admin.ID, k.Label, strings.Join(scopes, " "), t.db.now().UnixMilli(), millis(k.ExpiresAt))
}

// tokenID names a token by the beginning of its hash, which tells nothing about
// the token: it is random.
func tokenID(hash []byte) string { return "tok_" + hex.EncodeToString(hash[:min(8, len(hash))]) }

// CreateToken writes a token of an administrator and returns its id.
func (db *DB) CreateToken(ctx context.Context, hash []byte, k latchkey.APIToken, e latchkey.Event) (id string, err error) {
	id = tokenID(hash)
	e.Detail["token"] = id
	return id, db.InTx(ctx, func(t *Tx) error { return errors.Join(t.addToken(hash, k), t.addEvent(e)) })
}

// RevokeToken ends a token; with owner only where it is of that administrator.
func (db *DB) RevokeToken(ctx context.Context, id, owner string, e latchkey.Event) error {
	return db.InTx(ctx, func(t *Tx) error {
		const drop = "DELETE FROM api_tokens WHERE id = $1 AND ($2 = '' OR admin_id = $2)"
		return errors.Join(t.one("token", drop, id, owner), t.forgetAnswers(), t.addEvent(e))
	})
}

const tokenColumns = `SELECT t.id, t.label, t.scopes, t.created_at, t.expires_at, a.id, a.name, a.role, a.disabled
	FROM api_tokens t JOIN admins a ON a.id = t.admin_id `

func scanToken(row scanner) (latchkey.APIToken, error) {
	var k latchkey.APIToken
	var scopes string
	var made int64
	var ends sql.NullInt64
	if err := row.Scan(&k.ID, &k.Label, &scopes, &made, &ends, &k.Admin.ID, &k.Admin.Name, &k.Admin.Role, &k.Admin.Disabled); err != nil {
		return latchkey.APIToken{}, err
	}
	k.CreatedAt, k.ExpiresAt = time.UnixMilli(made).UTC(), timeOf(ends)
	var err error
	// Scopes that cannot be read are an error: without scopes it may everything.
	k.Scopes, err = latchkey.ParseScopes(scopes)
	return k, err
}

// AdminByToken returns the token with a hash. It returns NotFound where nobody
// has it, where it has ended and where its owner is disabled.
func (db *DB) AdminByToken(ctx context.Context, hash []byte) (latchkey.APIToken, error) {
	const where = "WHERE t.hash = $1 AND NOT a.disabled AND (t.expires_at IS NULL OR t.expires_at > $2)"
	k, err := scanToken(db.row(ctx, tokenColumns+where, hash, db.now().UnixMilli()))
	return k, found(err, "no such token")
}

// Tokens returns the tokens of an administrator, the oldest first; without one
// those of all.
func (db *DB) Tokens(ctx context.Context, owner string) ([]latchkey.APIToken, error) {
	var out []latchkey.APIToken
	err := db.query(ctx, func(r *sql.Rows) error {
		k, err := scanToken(r)
		out = append(out, k)
		return err
	}, tokenColumns+"WHERE $1 = '' OR a.id = $1 ORDER BY t.created_at, t.id", owner)
	return out, err
}
