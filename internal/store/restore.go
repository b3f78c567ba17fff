package store

import (
	"context"
	"crypto/ed25519"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"latchkey"
	"latchkey/internal/seal"
)

// A Restore puts a backup in the place of a data directory.
type Restore struct {
	File    string
	Dir     string
	KeyFile string // the master key; Dir/master.key or the one in the backup where empty
	Replace bool   // set aside a database that is there
	Now     func() time.Time

	Database string // a postgres:// address; where empty, the database is in Dir
}

// Run checks the backup, opens it in a directory beside, raises what has to be
// above anything that the lost database signed or accepted, and only then puts
// it in place. It returns where the database that was there lies now; "" where
// there was none.
func (r Restore) Run(ctx context.Context) (m Manifest, aside string, err error) {
	if m, err = ReadBackup(r.File, ""); err != nil {
		return m, "", err
	}
	replaced, err := r.admit(ctx, m)
	if err != nil {
		return m, "", err
	}
	if err := makeDir(r.Dir); err != nil {
		return m, "", err
	}
	stage, err := os.MkdirTemp(r.Dir, ".restore-*") // mode 0700
	if err != nil {
		return m, "", fmt.Errorf("restoring: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(stage)) }()
	if err := giveDir(stage); err != nil {
		return m, "", fmt.Errorf("restoring: %w", err)
	}
	if _, err := ReadBackup(r.File, stage); err != nil {
		return m, "", err
	}
	if m.SigningKey, err = r.raise(ctx, stage, replaced); err != nil {
		return m, "", err
	}
	if r.Database == "" {
		aside, err = r.swap(stage)
	} else {
		aside, err = r.send(ctx, stage, m)
	}
	return m, aside, err
}

// admit refuses what must not be replaced, before anything is unpacked. It
// returns the epoch of what is replaced; 0 where that cannot be read.
func (r Restore) admit(ctx context.Context, m Manifest) (epoch uint64, err error) {
	if r.Database == "" {
		return r.place(ctx, m)
	}
	n, err := newNetworked(Config{Database: r.Database})
	if err != nil {
		return 0, err
	}
	epoch, err = n.admit(ctx, m, r.Replace)
	return epoch, errors.Join(err, n.close())
}

// send puts the staged database into PostgreSQL, and its key beside the others
// of this server.
func (r Restore) send(ctx context.Context, stage string, m Manifest) (aside string, err error) {
	n, err := newNetworked(Config{Database: r.Database})
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, n.close()) }()
	if aside, err = n.receive(ctx, filepath.Join(stage, DatabaseFile), m, r.Replace, r.Now()); err != nil {
		return "", err
	}
	return aside, errors.Join(r.keepKey(stage), syncDir(r.Dir))
}

// place refuses a directory that must not be replaced.
func (r Restore) place(ctx context.Context, m Manifest) (epoch uint64, err error) {
	path := filepath.Join(r.Dir, DatabaseFile)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	} else if err != nil {
		return 0, err
	}
	pool, err := sql.Open("sqlite", dsn(path))
	if err != nil {
		return 0, err
	}
	defer pool.Close()
	pool.SetMaxOpenConns(1)
	var deployment string
	err = pool.QueryRowContext(ctx, "SELECT value FROM meta WHERE name = 'deployment'").Scan(&deployment)
	switch {
	case err == nil && deployment != m.Deployment:
		return 0, latchkey.Errorf(latchkey.Conflict, "the directory holds another deployment (%s) than the backup (%s)", deployment, m.Deployment).
			WithHint("restore into another directory")
	case !r.Replace:
		return 0, latchkey.Errorf(latchkey.Conflict, "there is a database in %s", r.Dir).WithHint("--yes sets it aside and restores the backup in its place")
	case err != nil:
		return 0, nil // it cannot be read: that is why somebody restores
	}
	// Leaving the write-ahead log needs the database for oneself.
	if _, err := pool.ExecContext(ctx, "PRAGMA busy_timeout = 200"); err != nil {
		return 0, err
	}
	var mode string
	if err := pool.QueryRowContext(ctx, "PRAGMA journal_mode = DELETE").Scan(&mode); err != nil || mode != "delete" {
		return 0, latchkey.Errorf(latchkey.Busy, "a server is using %s", r.Dir).WithHint("stop it first")
	}
	return epochOf(ctx, pool), nil
}

// raise opens the staged database, which shows that the key fits, and lifts
// what the lost database may have reached. It returns the signing key in use.
func (r Restore) raise(ctx context.Context, stage string, replaced uint64) (signer string, err error) {
	key := filepath.Join(stage, MasterKeyFile)
	for _, other := range []string{filepath.Join(r.Dir, MasterKeyFile), r.KeyFile} {
		if _, err := os.Stat(other); other != "" && err == nil {
			key = other
		}
	}
	if _, err := os.Stat(key); errors.Is(err, fs.ErrNotExist) {
		return "", latchkey.Errorf(latchkey.NotFound, "the backup does not hold the master key, and %s is missing", filepath.Join(r.Dir, MasterKeyFile)).
			WithHint("put the key there, or name it with --key-file")
	}
	db, err := Open(ctx, Config{Dir: stage, KeyFile: key, Now: r.Now})
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return seal.KeyID(db.identity.Signer.Public().(ed25519.PublicKey)), db.restored(ctx, replaced)
}

// nextEpoch is above the epoch of the backup and that of what is replaced, and
// follows the time: whoever restores one backup twice, in two places, does not
// make two servers whose sets of keys cannot be told apart.
func nextEpoch(backup, replaced uint64, now time.Time) (uint64, error) {
	next := max(backup, replaced, uint64(max(0, now.Unix()))) + 1
	if next >= 1<<epochSize {
		return 0, latchkey.Errorf(latchkey.Conflict, "the backup has the restore epoch %d, which no server wrote", backup).WithHint("take another one")
	}
	return next, nil
}

// epochOf is the epoch of a database that is about to be replaced; 0 where it
// cannot be read, or is more than any server wrote.
func epochOf(ctx context.Context, db interface {
	QueryRowContext(context.Context, string, ...any) *sql.Row
}) uint64 {
	var text string
	if err := db.QueryRowContext(ctx, "SELECT value FROM meta WHERE name = 'epoch'").Scan(&text); err != nil {
		return 0
	}
	epoch, err := strconv.ParseUint(text, 10, epochSize-1)
	if err != nil {
		return 0
	}
	return epoch
}

// restored raises the epoch, so that every signed set of keys is newer than
// those before, and uses up all TOTP steps until now: the lost database may
// have accepted them. Counters of hardware tokens rise with what machines
// report.
func (db *DB) restored(ctx context.Context, replaced uint64) error {
	now := db.now()
	epoch, err := nextEpoch(db.identity.Epoch, replaced, now)
	if err != nil {
		return err
	}
	return db.InTx(ctx, func(t *Tx) error {
		const floor = `UPDATE authenticators SET next_use = $1 / period + 2
			WHERE kind = $2 AND period > 0 AND next_use < $1 / period + 2`
		return errors.Join(
			t.exec("UPDATE meta SET value = $1 WHERE name = 'epoch'", strconv.FormatUint(epoch, 10)),
			t.exec(floor, now.Unix(), string(latchkey.TOTP)),
			t.exec("DELETE FROM leases"),
			t.addEvent(latchkey.Event{
				Time: now, Kind: latchkey.ServerRestored, Actor: "console", Detail: map[string]string{"epoch": fmt.Sprint(epoch)},
			}))
	})
}

// keepKey puts the key of the backup where there is none.
func (r Restore) keepKey(stage string) error {
	key := filepath.Join(r.Dir, MasterKeyFile)
	if _, err := os.Lstat(key); !errors.Is(err, fs.ErrNotExist) || r.KeyFile != "" {
		return nil
	}
	if err := os.Rename(filepath.Join(stage, MasterKeyFile), key); err != nil {
		return fmt.Errorf("restoring: %w", err)
	}
	return nil
}

// swap moves what is there aside and the restored files into its place. The
// database comes last: without it the directory is empty, not wrong.
func (r Restore) swap(stage string) (aside string, err error) {
	for _, name := range []string{DatabaseFile, DatabaseFile + "-wal", DatabaseFile + "-shm"} {
		path := filepath.Join(r.Dir, name)
		if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if aside == "" {
			if aside, err = os.MkdirTemp(r.Dir, "replaced-*"); err == nil { // mode 0700
				err = giveDir(aside)
			}
			if err != nil {
				return "", fmt.Errorf("restoring: %w", err)
			}
		}
		if err := os.Rename(path, filepath.Join(aside, name)); err != nil {
			return aside, fmt.Errorf("restoring: %w", err)
		}
	}
	if err := r.keepKey(stage); err != nil {
		return aside, err
	}
	if err := os.Rename(filepath.Join(stage, DatabaseFile), filepath.Join(r.Dir, DatabaseFile)); err != nil {
		return aside, fmt.Errorf("restoring: %w", err)
	}
	return aside, syncDir(r.Dir)
}
