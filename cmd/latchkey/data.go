package main

import (
	"context"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"latchkey"
	"latchkey/internal/store"
)

// dataFlags say where a server keeps what it knows.
type dataFlags struct {
	dir, database, keyFile string
}

func (d *dataFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&d.dir, "data", "", "the data directory")
	c.Flags().StringVar(&d.database, "database", "", "postgres://… instead of the embedded database (not in this version)")
	c.Flags().StringVar(&d.keyFile, "key-file", "", "the master key, where it is not DIR/master.key")
	if err := c.MarkFlagRequired("data"); err != nil {
		panic(err) // the flag is defined above
	}
}

// optional is add for a verb that does without a directory too.
func (d *dataFlags) optional(c *cobra.Command) {
	d.add(c)
	delete(c.Flags().Lookup("data").Annotations, cobra.BashCompOneRequiredFlag)
}

// openExisting is open for a verb that only looks: it makes no new server.
func (d *dataFlags) openExisting(ctx context.Context) (*store.DB, error) {
	if _, err := os.Stat(filepath.Join(d.dir, store.DatabaseFile)); errors.Is(err, fs.ErrNotExist) {
		return nil, latchkey.Errorf(latchkey.NotFound, "there is no database in %s", d.dir)
	}
	return d.open(ctx)
}

func (d *dataFlags) open(ctx context.Context) (*store.DB, error) {
	if err := d.check(); err != nil {
		return nil, err
	}
	return store.Open(ctx, store.Config{Dir: d.dir, KeyFile: d.keyFile, Now: now})
}

func (d *dataFlags) check() error {
	if d.database == "" {
		return nil
	}
	u, err := url.Parse(d.database)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return usagef("--database takes a postgres:// address")
	}
	return latchkey.Errorf(latchkey.Invalid, "PostgreSQL comes later: this version knows the embedded database only").
		WithHint("leave out --database")
}
