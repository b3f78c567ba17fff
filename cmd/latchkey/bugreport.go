package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"latchkey"
	"latchkey/internal/apiclient"
	"latchkey/internal/bugreport"
	"latchkey/internal/httpd"
	"latchkey/internal/settings"
	"latchkey/internal/store"
)

// serverUnit is the service that packages install.
const serverUnit = "latchkey-server.service"

// reportFlags are what a report is made of.
type reportFlags struct {
	dataFlags
	out, log, config string
	names            bool
}

// packed is the JSON of bugreport.
type packed struct {
	File  string   `json:"file"`
	Parts []string `json:"parts"`
}

func (p *program) bugreport() *cobra.Command {
	var f reportFlags
	c := verb("bugreport", "Pack what support needs into one file, without secrets and names", func(ctx context.Context, _ []string) error {
		out := cmp.Or(f.out, "latchkey-bugreport-"+now().UTC().Format("20060102-150405")+".tar.gz")
		r, err := bugreport.New(rand.Reader, f.names, now())
		if err != nil {
			return err
		}
		p.collect(ctx, r, f)
		if err := r.Write(out); err != nil {
			return err
		}
		return p.say(packed{out, r.Names()}, "%s: written; read it before you send it", out)
	})
	f.optional(c)
	c.Flags().StringVar(&f.out, "out", "", "the file, which must not exist; by default latchkey-bugreport-TIME.tar.gz here")
	c.Flags().StringVar(&f.log, "log", "", "the server's log; by default systemd's of "+serverUnit)
	c.Flags().StringVar(&f.config, "config", "", "the server's settings file; by default DIR/server.json")
	c.Flags().BoolVar(&f.names, "names", false, "leave names of people and machines, and addresses, as they are")
	return c
}

// collect never fails: what cannot be had is noted, because something is broken
// where a report is made.
func (p *program) collect(ctx context.Context, r *bugreport.Report, f reportFlags) {
	r.Program("latchkey", version)
	if f.dir == "" {
		r.Machine()
	} else {
		r.Machine(f.dir)
		r.Folder("data.txt", f.dir)
		p.collectDatabase(ctx, r, f)
		r.File("server.json.txt", cmp.Or(f.config, filepath.Join(f.dir, settingsFile)))
	}
	if orEnv(p.server, "LATCHKEY_SERVER") != "" {
		r.JSON("doctor.json", p.askAbout(ctx))
	}
	if f.log != "" {
		r.File("log.txt", f.log)
		return
	}
	r.Service(ctx, serverUnit)
}

func (p *program) askAbout(ctx context.Context) []finding {
	var about httpd.About
	began := now()
	ctx, stop := context.WithTimeout(ctx, 10*time.Second)
	defer stop()
	err := p.get(ctx, apiclient.Path("server"), &about, nil)
	return findings(err, about, began, now())
}

func (p *program) collectDatabase(ctx context.Context, r *bugreport.Report, f reportFlags) {
	check := checked{Problems: []string{}, Notes: []string{}}
	check.directory(ctx, f.dataFlags)
	check.OK = len(check.Problems) == 0
	r.JSON("config-check.json", check)
	db, err := f.openExisting(ctx)
	if err != nil {
		r.Problem("database.json", err)
		return
	}
	defer db.Close()
	learn(ctx, r, db)
	if s, err := db.Statistics(ctx); err == nil {
		r.JSON("database.json", s)
	} else {
		r.Problem("database.json", err)
	}
	if all, err := settings.New(db, now).List(ctx); err == nil {
		r.JSON("policies.json", all)
	} else {
		r.Problem("policies.json", err)
	}
}

// learn tells the report who is who, so that names are found in texts too.
func learn(ctx context.Context, r *bugreport.Report, db *store.DB) {
	if all, err := db.Users(ctx, latchkey.Page{}); err == nil {
		for _, u := range all {
			r.Scrub.Know("user", u.Name)
			r.Scrub.Know("group", u.Groups...)
		}
	}
	if all, err := db.Machines(ctx, latchkey.Page{}); err == nil {
		for _, m := range all {
			r.Scrub.Know("machine", m.Name)
		}
	}
	if all, err := db.Admins(ctx); err == nil {
		for _, a := range all {
			r.Scrub.Know("admin", a.Name)
		}
	}
	if all, err := db.Policies(ctx); err == nil {
		for _, one := range all {
			r.Scrub.Know("policy", one.Name)
			for _, who := range one.Users.Names {
				r.Scrub.Know("user", strings.TrimPrefix(who, "group:"))
			}
		}
	}
}
