package store

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Writable commits a change that changes nothing, and returns why it could not:
// a full disk answers questions for a long time yet.
func (db *DB) Writable(ctx context.Context) error {
	return db.InTx(ctx, func(t *Tx) error {
		return t.one("deployment", "UPDATE meta SET value = value WHERE name = 'deployment'")
	})
}

// Size is how much room the database takes on the disk, in bytes, with what is
// not merged into it yet.
func (db *DB) Size(context.Context) (int64, error) {
	var all int64
	for _, name := range []string{DatabaseFile, DatabaseFile + "-wal"} {
		info, err := os.Stat(filepath.Join(db.dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return 0, err
		}
		all += info.Size()
	}
	return all, nil
}
