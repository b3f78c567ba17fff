package store

import (
	"context"
	"errors"
	"time"

	"latchkey"
)

// ErrOvertaken: the tables are of a newer version than the program that runs on
// them, or its master key is not the one in use any more. It must write nothing
// more.
var ErrOvertaken = errors.New("overtaken by a newer version, or a newer master key")

// attended names a server that runs, or was killed a short time ago.
const attended = "SELECT holder FROM leases WHERE name LIKE 'serving/%' AND ends > $1 LIMIT 1"

func inUse() *latchkey.Error {
	return latchkey.Errorf(latchkey.Busy, "a server is using the database, or was killed less than a minute ago")
}

// Attend says that a server runs on the database, for so long. ErrOvertaken:
// somebody brought the tables up to date for another program, or changed the
// master key.
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
		now, err := t.clock()
		if err := errors.Join(err, t.inForce()); err != nil {
			return err
		}
		return t.exec("INSERT INTO leases (name, holder, ends) VALUES ($1, $2, $3) ON CONFLICT (name) DO UPDATE SET ends = excluded.ends",
			"serving/"+holder, holder, now+life.Milliseconds())
	})
}

// clock is the time by which servers say that they run, in Unix milliseconds:
// on a network that of the database, because each of them has another.
func (t *Tx) clock() (now int64, err error) {
	q := t.db.on.clock()
	if q == "" {
		return t.db.now().UnixMilli(), nil
	}
	err = t.row(q).Scan(&now)
	return now, err
}

// Leave says that it does no more.
func (db *DB) Leave(ctx context.Context, holder string) error {
	return db.InTx(ctx, func(t *Tx) error {
		now, err := t.clock()
		if err != nil {
			return err
		}
		return t.exec("DELETE FROM leases WHERE name = $1 OR name LIKE 'serving/%' AND ends < $2", "serving/"+holder, now)
	})
}
