package store

import (
	"context"
	"errors"
	"time"

	"latchkey"
)

// ErrOvertaken: the tables are of a newer version than the program that runs on
// them. It must write nothing more.
var ErrOvertaken = errors.New("overtaken by a newer version")

// attended names a server that runs, or was killed a short time ago.
const attended = "SELECT holder FROM leases WHERE name LIKE 'serving/%' AND ends > $1 LIMIT 1"

func inUse() *latchkey.Error {
	return latchkey.Errorf(latchkey.Busy, "a server is using the database, or was killed less than a minute ago")
}

// Attend says that a server runs on the database, for so long. ErrOvertaken:
// somebody brought the tables up to date for another program.
func (db *DB) Attend(ctx context.Context, holder string, life time.Duration) error {
	known, err := migrations(schema, sqliteDialect) // as many as on PostgreSQL
	if err != nil {
		return err
	}
	return db.InTx(ctx, func(t *Tx) error {
		var has int
		if err := t.row("SELECT count(*) FROM migrations").Scan(&has); err != nil {
			return err
		}
		if has > len(known) {
			return errors.Join(ErrOvertaken, newerDatabase(has, len(known)))
		}
		return t.exec("INSERT INTO leases (name, holder, ends) VALUES ($1, $2, $3) ON CONFLICT (name) DO UPDATE SET ends = excluded.ends",
			"serving/"+holder, holder, db.now().Add(life).UnixMilli())
	})
}

// Leave says that it does no more.
func (db *DB) Leave(ctx context.Context, holder string) error {
	return db.InTx(ctx, func(t *Tx) error {
		return t.exec("DELETE FROM leases WHERE name = $1 OR name LIKE 'serving/%' AND ends < $2", "serving/"+holder, db.now().UnixMilli())
	})
}
