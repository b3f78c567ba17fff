package main

import (
	"context"

	"github.com/spf13/cobra"

	"latchkey/internal/store"
)

// dataFlags say where a server keeps what it knows.
type dataFlags struct {
	dir, database, keyFile string
}

func (d *dataFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&d.dir, "data", "", "the data directory")
	c.Flags().StringVar(&d.database, "database", "", "postgres://USER@HOST/DATABASE instead of the embedded database; the password from the file that PGPASSFILE names")
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
	c := d.config()
	c.Existing = true
	return d.openAs(ctx, c)
}

func (d *dataFlags) open(ctx context.Context) (*store.DB, error) {
	return d.openAs(ctx, d.config())
}

func (d *dataFlags) config() store.Config {
	return store.Config{Dir: d.dir, KeyFile: d.keyFile, Database: d.database, Now: now}
}

func (d *dataFlags) openAs(ctx context.Context, c store.Config) (*store.DB, error) {
	if err := d.check(); err != nil {
		return nil, err
	}
	return store.Open(ctx, c)
}

// check refuses what would fail later, before anything is made.
func (d *dataFlags) check() error {
	switch {
	case d.database == "":
		return nil
	case d.dir == "":
		return &usageError{"--database needs --data", "the directory for the master key and the CA's certificate"}
	}
	return store.CheckAddress(d.database)
}

// again is how a person names the same place on another command line.
func (d *dataFlags) again() string {
	place := "--data " + quoted(d.dir)
	if d.database != "" {
		place += " --database " + quoted(d.database)
	}
	if d.keyFile != "" {
		place += " --key-file " + quoted(d.keyFile)
	}
	return place
}
