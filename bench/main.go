//go:build linux

// Command bench measures what a login costs, in time, memory and bytes, beside
// what other PAM modules and the bare disk and database cost in the same run:
// one table, whose ratios mean something on any machine. Run it with
// scripts/bench.
//
// It refuses to judge: no figure makes it fail. What does is a login that ends
// otherwise than it should.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// A bench is one run.
type bench struct {
	table
	dir    string // a private folder on a real disk
	bin    string // where make build put the programs
	root   string // the source
	driver string // the PAM application

	running  []*process
	commits  float64 // a second, by the database alone: one row changed, one event written
	settled  float64 // a second, by the database alone: everything that a login writes
	deployed *deployment
	made     time.Duration // how long it took to add its users
}

func main() {
	b := &bench{table: table{out: os.Stdout}}
	flag.StringVar(&b.dir, "dir", "", "private folder for everything")
	flag.StringVar(&b.bin, "bin", "bin", "folder of the programs")
	flag.StringVar(&b.root, "root", ".", "folder of the source")
	flag.StringVar(&b.driver, "driver", "", "the PAM application")
	only := flag.String("only", "", "measure only this: disk, offline, online, scale, fleet, postgres, go")
	flag.Parse()
	err := b.run(*only)
	for _, p := range b.running {
		err = errors.Join(err, p.stop())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func (b *bench) run(only string) error {
	var err error
	if b.bin, err = filepath.Abs(b.bin); err != nil {
		return err
	}
	for _, part := range []struct {
		name string
		do   func() error
	}{
		{"disk", b.disk},
		{"offline", b.offline},
		{"online", b.online},
		{"scale", b.scale},
		{"fleet", b.fleet},
		{"postgres", b.postgres},
		{"go", b.micro},
	} {
		if only != "" && only != part.name {
			continue
		}
		if err := part.do(); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	return nil
}
