package store

import "context"

// Writable commits a change that changes nothing, and returns why it could not:
// a full disk answers questions for a long time yet.
func (db *DB) Writable(ctx context.Context) error {
	return db.InTx(ctx, func(t *Tx) error {
		return t.one("deployment", "UPDATE meta SET value = value WHERE name = 'deployment'")
	})
}

// Size is how much room the database takes on the disk, in bytes.
func (db *DB) Size(ctx context.Context) (int64, error) { return db.on.size(ctx) }
