package store

import "context"

// Writable commits a change that changes nothing, and returns why it could not:
// a full disk answers questions for a long time yet.
func (db *DB) Writable(ctx context.Context) error {
	return db.beside(ctx, func(t *Tx) error {
		return t.one("deployment", "UPDATE meta SET value = value WHERE name = 'deployment'")
	})
}

// Risks are settings of the database under which a power cut may take back what
// was committed: a code could then be used twice. They are for the administrator
// to judge; a database in memory is good enough for a trial.
func (db *DB) Risks(ctx context.Context) ([]string, error) { return db.on.risks(ctx) }

// Size is how much room the database takes on the disk, in bytes.
func (db *DB) Size(ctx context.Context) (int64, error) { return db.on.size(ctx) }
