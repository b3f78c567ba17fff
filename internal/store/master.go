package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"latchkey"
	"latchkey/internal/seal"
	"latchkey/internal/secret"
)

// wrap wraps a secret for a row that this transaction writes.
func (t *Tx) wrap(row string, plain secret.Bytes) ([]byte, error) {
	if err := t.inForce(); err != nil {
		return nil, err
	}
	return t.db.wrap.Wrap(t.db.rand, row, plain)
}

// inForce refuses a transaction of a server that stood still while somebody
// changed the master key: what it wraps nobody could read any more.
func (t *Tx) inForce() error {
	var id string
	if err := t.row("SELECT value FROM meta WHERE name = 'master'").Scan(&id); err != nil {
		return err
	}
	return t.db.outlived(id)
}

// outlived compares the key of this process with the one that is in use.
func (db *DB) outlived(id string) error {
	if id == db.wrap.ID() {
		return nil
	}
	return errors.Join(ErrOvertaken, latchkey.Errorf(latchkey.Conflict, "the master key was changed while this program ran").
		WithHint("start it again, with the new key"))
}

// masterKey reads the master key. Where neither key nor database exist it makes
// one: a new key beside an old database would only hide that the old is lost.
func masterKey(path string, rand io.Reader, fresh bool) (*seal.Wrapper, error) {
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		if !fresh {
			return nil, latchkey.Errorf(latchkey.NotFound, "the master key %s is missing, and the database cannot be read without it", path).
				WithHint("copy it from another server of the deployment, or from your backup of the keys")
		}
		if err := makeKey(path, filepath.Dir(path), rand); err != nil {
			return nil, fmt.Errorf("making the master key: %w", err)
		}
	}
	key, err := readKey(path)
	if err != nil {
		return nil, err
	}
	defer key.Wipe()
	return seal.NewWrapper(key)
}

// makeKey writes a new key under another name and links it into place once it
// is durable: two processes that start together agree on one key, and a power
// cut leaves a whole key or none. It belongs to whoever owns the file or folder
// like.
func makeKey(path, like string, rand io.Reader) error {
	key := make(secret.Bytes, seal.MasterKeySize)
	defer key.Wipe()
	if _, err := io.ReadFull(rand, key); err != nil {
		return fmt.Errorf("reading randomness: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".master-*") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(key)
	err = errors.Join(err, giveLike(f, like), f.Sync(), f.Close())
	if err == nil {
		err = os.Link(f.Name(), path)
	}
	if errors.Is(err, fs.ErrExist) {
		err = nil
	}
	return errors.Join(err, os.Remove(f.Name()), syncDir(filepath.Dir(path)))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// readKey refuses a key that others can read: it has to be changed, not used.
func readKey(path string) (secret.Bytes, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("opening the master key: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("looking at the master key: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, latchkey.Errorf(latchkey.Invalid, "the master key %s is open to other users (mode %04o)", path, info.Mode().Perm()).
			WithHint("chmod 0600 %s, and think about who may have read it", path)
	}
	key, err := io.ReadAll(io.LimitReader(f, seal.MasterKeySize+1))
	if err != nil {
		return nil, fmt.Errorf("reading the master key: %w", err)
	}
	if len(key) != seal.MasterKeySize {
		return nil, latchkey.Errorf(latchkey.Invalid, "the master key %s does not have %d bytes", path, seal.MasterKeySize)
	}
	return key, nil
}
