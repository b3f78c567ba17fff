package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"latchkey"
	"latchkey/internal/seal"
)

// The names of the keys beside the master key while it is changed.
const (
	nextKey = ".next"    // not in use yet, or not in its place yet
	oldKey  = ".before-" // and the name of the key that took its place
)

// Rewrap changes the master key of a deployment whose servers do not run: it
// makes a new key, wraps every secret under it in one transaction, and puts it
// into the place of the old one, which it sets aside. After a power cut at any
// point Open finds the key that fits, and Rewrap can be called again. It returns
// where the old key is and how many secrets there are.
func Rewrap(ctx context.Context, c Config, e latchkey.Event) (old string, rows int, err error) {
	c.Existing = true
	db, err := Open(ctx, c) // which ends what an earlier call began
	if err != nil {
		return "", 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	path := c.keyPath()
	next, err := newMaster(path, db.rand)
	if err != nil {
		return "", 0, err
	}
	if rows, err = db.rewrap(ctx, next, e); err != nil {
		return "", 0, err
	}
	old, err = install(path, next.ID())
	return old, rows, err
}

func (c Config) keyPath() string {
	if c.KeyFile == "" {
		return filepath.Join(c.Dir, MasterKeyFile)
	}
	return c.KeyFile
}

// newMaster makes a key that nobody uses yet beside the one in use, instead of
// one that an earlier call has left there: that may lie in a backup.
func newMaster(inUse string, rand io.Reader) (*seal.Wrapper, error) {
	path := inUse + nextKey
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("making the next master key: %w", err)
	}
	if err := makeKey(path, inUse, rand); err != nil {
		return nil, fmt.Errorf("making the next master key: %w", err)
	}
	return openKey(path)
}

func openKey(path string) (*seal.Wrapper, error) {
	key, err := readKey(path)
	if err != nil {
		return nil, err
	}
	defer key.Wipe()
	return seal.NewWrapper(key)
}

// wrappedRows are all secrets of a database: a query for the name to which the
// wrapping is bound and the wrapped, and the statement that replaces it.
var wrappedRows = []struct{ prefix, list, update string }{
	{"secrets/", "SELECT name, wrapped FROM secrets", "UPDATE secrets SET wrapped = $1 WHERE name = $2"},
	{"heads/", "SELECT name, wrapped FROM heads", "UPDATE heads SET wrapped = $1 WHERE name = $2"},
	{"authenticators/", "SELECT id, wrapped FROM authenticators WHERE removed_at IS NULL", "UPDATE authenticators SET wrapped = $1 WHERE id = $2"},
	{"signing_keys/", "SELECT id, wrapped FROM signing_keys WHERE retired_at IS NULL", "UPDATE signing_keys SET wrapped = $1 WHERE id = $2"},
	{"retired_keys/", "SELECT id, wrapped FROM signing_keys WHERE retired_at IS NOT NULL", "UPDATE signing_keys SET wrapped = $1 WHERE id = $2"},
}

// rewrap wraps every secret under another key, and notes which. Answers to
// commands are forgotten.
func (db *DB) rewrap(ctx context.Context, next *seal.Wrapper, e latchkey.Event) (rows int, err error) {
	err = db.InTx(ctx, func(t *Tx) error {
		rows = 0
		// A round of the sealer that is under way still wraps with the old key.
		if err := t.exec("UPDATE leases SET ends = ends WHERE name = 'sealer'"); err != nil {
			return err
		}
		if err := errors.Join(t.alone(), t.inForce()); err != nil {
			return err
		}
		for _, w := range wrappedRows {
			n, err := t.rewrapAll(next, w.prefix, w.list, w.update)
			if err != nil {
				return err
			}
			rows += n
		}
		e.Detail = with(e.Detail, "key", next.ID())
		return errors.Join(
			t.exec("DELETE FROM requests"),
			t.exec("UPDATE meta SET value = $1 WHERE name = 'master'", next.ID()),
			t.addEvent(e))
	})
	if err == nil {
		db.wrap = next
	}
	return rows, err
}

// alone refuses while a server runs: it holds the old key in its memory, and
// could open nothing any more.
func (t *Tx) alone() error {
	now, err := t.clock()
	if err != nil {
		return err
	}
	var holder string
	err = t.row(attended, now).Scan(&holder)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err == nil {
		err = inUse().WithHint("stop every server of the deployment first")
	}
	return err
}

func (t *Tx) rewrapAll(next *seal.Wrapper, prefix, list, update string) (int, error) {
	type row struct {
		id      string
		wrapped []byte
	}
	var all []row
	err := t.query(func(r *sql.Rows) error {
		var w row
		err := r.Scan(&w.id, &w.wrapped)
		all = append(all, w)
		return err
	}, list)
	if err != nil {
		return 0, err
	}
	for _, w := range all {
		plain, err := t.db.wrap.Unwrap(prefix+w.id, w.wrapped)
		if err != nil {
			return 0, fmt.Errorf("%s%s: %w", prefix, w.id, err)
		}
		again, err := next.Wrap(t.db.rand, prefix+w.id, plain)
		plain.Wipe()
		if err != nil {
			return 0, err
		}
		if err := t.exec(update, again, w.id); err != nil {
			return 0, err
		}
	}
	return len(all), nil
}

// install puts the next key into place: the old one has another name before it
// loses its own.
func install(path, id string) (old string, err error) {
	old = path + oldKey + id
	dir := filepath.Dir(path)
	if err := os.Link(path, old); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("setting the old master key aside: %w", err)
	}
	if err := errors.Join(syncDir(dir), os.Rename(path+nextKey, path), syncDir(dir)); err != nil {
		return "", fmt.Errorf("putting the new master key into place: %w", err)
	}
	return old, nil
}

// fitting is the wrapper of the key that the database was wrapped under: the
// one in its place or, where a change of keys was cut off, the next one.
func (db *DB) fitting(ctx context.Context, path string, w *seal.Wrapper) (*seal.Wrapper, error) {
	var id string
	err := db.row(ctx, "SELECT value FROM meta WHERE name = 'master'").Scan(&id)
	if errors.Is(err, sql.ErrNoRows) || err == nil && id == w.ID() {
		return w, nil
	}
	if err != nil {
		return nil, err
	}
	next, err := openKey(path + nextKey)
	if err == nil && next.ID() == id {
		_, err = install(path, id)
		return next, err
	}
	return nil, latchkey.Errorf(latchkey.Conflict, "the master key %s is not the one that the database was written with (%s)", path, id).
		WithHint("copy it from another server of the deployment, or from your backup of the keys")
}

// noteMaster notes under which key the secrets are, where nobody has yet.
func (t *Tx) noteMaster() error {
	return t.exec("INSERT INTO meta (name, value) VALUES ('master', $1) ON CONFLICT (name) DO NOTHING", t.db.wrap.ID())
}
