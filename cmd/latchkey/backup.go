package main

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"latchkey"
	"latchkey/internal/store"
)

func (p *program) backup() *cobra.Command {
	var d dataFlags
	var out string
	var withKey bool
	c := verb("backup", "Write the database to one file, also while the server runs", func(ctx context.Context, _ []string) error {
		if out == "" {
			return &usageError{"no file is given", "latchkey backup --data DIR --out FILE"}
		}
		db, err := d.openExisting(ctx)
		if err != nil {
			return err
		}
		defer db.Close()
		key := ""
		if withKey {
			if key = d.keyFile; key == "" {
				key = filepath.Join(d.dir, store.MasterKeyFile)
			}
		}
		e := latchkey.Event{Kind: latchkey.BackupMade, Actor: "console", Detail: map[string]string{"with_key": yesNo(withKey)}}
		if err := db.Record(ctx, e); err != nil {
			return err
		}
		m, err := db.Backup(ctx, out, key)
		if err != nil {
			return err
		}
		if !withKey {
			fmt.Fprintln(p.err, "latchkey: note: the master key is not in the backup: keep a copy of it somewhere else")
		}
		return p.say(m, "%s: backed up", out)
	})
	d.add(c)
	c.Flags().StringVar(&out, "out", "", "the file, which must not exist")
	c.Flags().BoolVar(&withKey, "with-key", false, "put the master key into the file: whoever has it then has everything")
	return c
}

func (p *program) restore() *cobra.Command {
	var d dataFlags
	c := verb("restore FILE", "Put a backup in place; the server must not run", func(ctx context.Context, args []string) error {
		if err := d.check(); err != nil {
			return err
		}
		m, aside, err := store.Restore{File: args[0], Dir: d.dir, KeyFile: d.keyFile, Database: d.database, Replace: p.yes, Now: now}.Run(ctx)
		if err != nil {
			return err
		}
		if aside != "" {
			where := aside
			if d.database != "" {
				where = "the schema " + aside
			}
			fmt.Fprintf(p.err, "latchkey: note: the database that was there lies in %s\n", visible(where))
		}
		return p.say(m, "%s: restored as of %s; it signs with the key %s", d.dir, when(m.CreatedAt), m.SigningKey)
	})
	d.add(c)
	return c
}
