package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"latchkey"
)

const userColumns = "SELECT id, name, directory, disabled, member_of FROM users "

func scanUser(row scanner) (latchkey.User, error) {
	var u latchkey.User
	var groups string
	if err := row.Scan(&u.ID, &u.Name, &u.Directory, &u.Disabled, &groups); err != nil {
		return latchkey.User{}, err
	}
	if err := json.Unmarshal([]byte(groups), &u.Groups); err != nil {
		return latchkey.User{}, fmt.Errorf("reading the groups of %s: %w", u.ID, err)
	}
	return u, nil
}

// AddUser writes a new user and names him. It returns Conflict where his
// directory has the name already, in whatever case.
func (db *DB) AddUser(ctx context.Context, u latchkey.User, e latchkey.Event) (latchkey.User, error) {
	id, err := db.newID("usr")
	if err != nil {
		return latchkey.User{}, err
	}
	u.ID = latchkey.UserID(id)
	groups, err := json.Marshal(append([]string{}, u.Groups...))
	if err != nil {
		return latchkey.User{}, fmt.Errorf("writing groups: %w", err)
	}
	err = db.InTx(ctx, func(t *Tx) error {
		const insert = `INSERT INTO users (id, name, fold, directory, disabled, member_of, created_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7)`
		err := t.exec(insert, id, u.Name, latchkey.FoldName(u.Name), u.Directory, u.Disabled, string(groups), db.now().UnixMilli())
		if unique(err) {
			return latchkey.Errorf(latchkey.Conflict, "a user with that name exists")
		}
		e.User, e.UserName = u.ID, u.Name
		return errors.Join(err, t.addEvent(e))
	})
	if err != nil {
		return latchkey.User{}, err
	}
	return u, nil
}

// Users returns everybody, by name: of a page, whose key is folded name and id,
// its rows and one more.
func (db *DB) Users(ctx context.Context, p latchkey.Page) ([]latchkey.User, error) {
	k := p.Key(2)
	var out []latchkey.User
	err := db.query(ctx, func(r *sql.Rows) error {
		u, err := scanUser(r)
		out = append(out, u)
		return err
	}, userColumns+"WHERE deleted_at IS NULL AND (fold > $1 OR fold = $1 AND id > $2) ORDER BY fold, id LIMIT $3", k[0], k[1], p.Fetch())
	return out, err
}

// UserNamed returns the user with a name, in whatever case, or else with an
// id. It returns NotFound where there is none.
func (db *DB) UserNamed(ctx context.Context, name string) (latchkey.User, error) {
	const where = `WHERE deleted_at IS NULL AND (fold = $1 AND directory = $2 OR id = $3)
		ORDER BY CASE WHEN id = $3 THEN 0 ELSE 1 END` // nobody's name hides another's id
	u, err := scanUser(db.row(ctx, userColumns+where, latchkey.FoldName(name), latchkey.Builtin, name))
	return u, found(err, "no such user")
}

// SetDisabled refuses a user, or takes that back.
func (db *DB) SetDisabled(ctx context.Context, id latchkey.UserID, disabled bool, e latchkey.Event) error {
	return db.InTx(ctx, func(t *Tx) error {
		const update = "UPDATE users SET disabled = $1 WHERE id = $2 AND deleted_at IS NULL"
		return errors.Join(t.one("user", update, disabled, string(id)), t.addEvent(e))
	})
}

// SetGroups replaces the groups of a user.
func (db *DB) SetGroups(ctx context.Context, id latchkey.UserID, groups []string, e latchkey.Event) error {
	list, err := json.Marshal(append([]string{}, groups...))
	if err != nil {
		return fmt.Errorf("writing groups: %w", err)
	}
	return db.InTx(ctx, func(t *Tx) error {
		const update = "UPDATE users SET member_of = $1 WHERE id = $2 AND deleted_at IS NULL"
		return errors.Join(t.one("user", update, string(list), string(id)), t.addEvent(e))
	})
}

// DeleteUser ends a user, and all that lets him log in. The rows stay until
// the machines have wiped what they hold of him.
func (db *DB) DeleteUser(ctx context.Context, id latchkey.UserID, e latchkey.Event) error {
	return db.InTx(ctx, func(t *Tx) error {
		at := db.now().UnixMilli()
		return errors.Join(
			t.one("user", "UPDATE users SET deleted_at = $1 WHERE id = $2 AND deleted_at IS NULL", at, string(id)),
			t.exec("UPDATE authenticators SET removed_at = $1, wrapped = $2, lease_machine = NULL WHERE user_id = $3 AND removed_at IS NULL", at, []byte{}, string(id)),
			t.exec("UPDATE enrollments SET removed_at = $1 WHERE user_id = $2 AND enrolled_at IS NOT NULL AND removed_at IS NULL", at, string(id)),
			t.forgetAnswers(), t.addEvent(e))
	})
}

// UnlockUser forgets a user's wrong answers: online and reported ones, and those
// of his own programs.
func (db *DB) UnlockUser(ctx context.Context, id latchkey.UserID, e latchkey.Event) error {
	return db.InTx(ctx, func(t *Tx) error {
		return errors.Join(
			t.exec("UPDATE authenticators SET fails = 0, debt = 0, retry_at = NULL WHERE user_id = $1", string(id)),
			t.exec("UPDATE enrollments SET fails = 0, retry_at = NULL WHERE user_id = $1", string(id)),
			t.exec("DELETE FROM own_failures WHERE user_id = $1", string(id)),
			t.addEvent(e))
	})
}
