package store

import (
	"context"
	"database/sql"
	"errors"

	"latchkey"
)

// foldedNames are the tables that keep names in the form in which they are
// compared, with what else makes a row the only one of its name.
var foldedNames = []struct{ list, update string }{
	{"SELECT id, name, fold FROM users", `UPDATE users SET fold = $1 WHERE id = $2 AND (deleted_at IS NOT NULL
		OR NOT EXISTS (SELECT 1 FROM users o WHERE o.fold = $1 AND o.directory = users.directory AND o.deleted_at IS NULL))`},
	{"SELECT id, name, fold FROM machines", `UPDATE machines SET fold = $1 WHERE id = $2 AND (state NOT IN ('active', 'quarantined')
		OR NOT EXISTS (SELECT 1 FROM machines o WHERE o.fold = $1 AND o.state IN ('active', 'quarantined')))`},
	{"SELECT id, name, fold FROM admins", `UPDATE admins SET fold = $1 WHERE id = $2
		AND NOT EXISTS (SELECT 1 FROM admins o WHERE o.fold = $1)`},
	{"SELECT name, name, fold FROM policies", `UPDATE policies SET fold = $1 WHERE name = $2
		AND NOT EXISTS (SELECT 1 FROM policies o WHERE o.fold = $1)`},
}

// foldedAs names the way in which names are folded now; the next way gets another.
const foldedAs = "nfc"

// foldNames folds again, once, what was folded in an earlier way. Where two names
// have become one, both stay as they are: the second is known by its id only.
func (db *DB) foldNames(ctx context.Context) error {
	return db.InTx(ctx, func(t *Tx) error {
		var way string
		err := t.row("SELECT value FROM meta WHERE name = 'names'").Scan(&way)
		if err == nil && way == foldedAs || err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		for _, names := range foldedNames {
			if err := t.foldAgain(names.list, names.update); err != nil {
				return err
			}
		}
		return t.exec("INSERT INTO meta (name, value) VALUES ('names', $1) ON CONFLICT (name) DO UPDATE SET value = excluded.value", foldedAs)
	})
}

func (t *Tx) foldAgain(list, update string) error {
	var changed [][2]string
	err := t.query(func(r *sql.Rows) error {
		var id, name, fold string
		if err := r.Scan(&id, &name, &fold); err != nil {
			return err
		}
		if now := latchkey.FoldName(name); now != fold {
			changed = append(changed, [2]string{now, id})
		}
		return nil
	}, list)
	if err != nil {
		return err
	}
	for _, c := range changed {
		if err := t.exec(update, c[0], c[1]); err != nil {
			return err
		}
	}
	return nil
}
