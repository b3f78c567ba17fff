package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"latchkey"
	"latchkey/internal/policy"
	"latchkey/internal/settings"
	"latchkey/internal/store"
)

func (p *program) config() *cobra.Command {
	return p.group("config", "Check what a server would run on", p.configCheck())
}

// checked is the JSON of config check.
type checked struct {
	OK       bool     `json:"ok"`
	Problems []string `json:"problems"`
	Notes    []string `json:"notes"`
}

func (p *program) configCheck() *cobra.Command {
	var d serveFlags
	var files []string
	var c *cobra.Command
	c = verb("check", "Check what serve would run on, given its flags: data, addresses, names, clock; and policy files", func(ctx context.Context, _ []string) error {
		if d.dir == "" && len(files) == 0 && d.configFile == "" {
			return &usageError{"nothing to check", "give --data DIR, --config FILE or -f FILE"}
		}
		if err := d.check(); err != nil {
			return err
		}
		out := checked{Problems: []string{}, Notes: []string{}}
		if d.dir != "" {
			out.directory(ctx, d.dataFlags)
			d.configFile = cmp.Or(d.configFile, filepath.Join(d.dir, settingsFile))
		}
		if c.Flags().Changed("listen") || c.Flags().Changed("agent-listen") || c.Flags().Changed("metrics-listen") || d.publicURL != "" || len(d.agentURLs) > 0 {
			out.listeners(d)
		}
		_, pair, err := readSettings(d.configFile)
		if err != nil {
			out.problem("%v", err)
		}
		out.certificate(pair, d.publicURL)
		for _, f := range files {
			out.file(p, f)
		}
		out.OK = len(out.Problems) == 0
		return p.verdict(out)
	})
	d.optional(c)
	d.addServe(c)
	c.Flags().StringArrayVarP(&files, "file", "f", nil, "a policy file (repeatable)")
	return c
}

func (p *program) verdict(out checked) error {
	err := p.print(out, func(w io.Writer) {
		for _, s := range out.Problems {
			fmt.Fprintln(w, "problem:", visible(s))
		}
		for _, s := range out.Notes {
			fmt.Fprintln(w, "note:", visible(s))
		}
		if out.OK {
			fmt.Fprintln(w, "ok")
		}
	})
	if err == nil && !out.OK {
		err = latchkey.Errorf(latchkey.Conflict, "%d problem(s) found", len(out.Problems))
	}
	return err
}

func (c *checked) problem(format string, args ...any) {
	c.Problems = append(c.Problems, fmt.Sprintf(format, args...))
}

// directory looks before it opens: opening makes what is missing, and a check
// makes nothing.
func (c *checked) directory(ctx context.Context, d dataFlags) {
	key := d.keyFile
	if key == "" {
		key = filepath.Join(d.dir, store.MasterKeyFile)
	}
	paths := []string{d.dir, key}
	if d.database == "" {
		paths = append(paths, filepath.Join(d.dir, store.DatabaseFile))
	}
	for _, path := range paths {
		info, err := os.Stat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			c.problem("%s does not exist: latchkey serve makes it at its first start", path)
		case err != nil:
			c.problem("%v", err)
		case info.Mode().Perm()&0o077 != 0:
			c.problem("%s is open to other users (mode %04o)", path, info.Mode().Perm())
		}
	}
	if len(c.Problems) == 0 {
		c.database(ctx, d)
	}
}

func (c *checked) database(ctx context.Context, d dataFlags) {
	db, err := d.openExisting(ctx)
	if err != nil {
		c.problem("%v", err)
		return
	}
	defer db.Close()
	c.clock(ctx, db)
	all, err := settings.New(db, now).List(ctx)
	if err != nil {
		c.problem("%v", err)
	}
	for _, one := range all {
		if err := policy.Validate(one); err != nil {
			c.problem("policy %s: %v", one.Name, err)
		}
		for _, n := range policy.Lint(one) {
			c.Notes = append(c.Notes, one.Name+": "+n)
		}
	}
	if has, err := db.HasAdmins(ctx); err == nil && !has {
		c.Notes = append(c.Notes, "there is no administrator yet: latchkey admin create NAME "+d.again())
	}
	if risks, err := db.Risks(ctx); err == nil {
		c.Notes = append(c.Notes, risks...)
	}
}

func (c *checked) file(p *program, path string) {
	raw, err := p.read(path)
	if err != nil {
		c.problem("%v", err)
		return
	}
	if !json.Valid(raw) {
		c.problem("%s: not JSON", path)
		return
	}
	notes, err := settings.Check(raw)
	if err != nil {
		c.problem("%s: %v", path, err)
		return
	}
	for _, n := range notes {
		c.Notes = append(c.Notes, path+": "+n)
	}
}
