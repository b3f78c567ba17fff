//go:build linux

package main

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"latchkey"
	"latchkey/internal/store"
)

// database measures what the database alone commits: a row changed and an
// event written, as a login at least must, through the store's own writer with
// as many callers as the load has clients, and then without that writer. What 32
// callers reach is what the load is compared with.
func (b *bench) database(d time.Duration) error {
	ctx := context.Background()
	dir := filepath.Join(b.dir, "database")
	db, err := store.Open(ctx, store.Config{Dir: dir, Now: time.Now})
	if err != nil {
		return err
	}
	defer db.Close()
	ids := make([]latchkey.UserID, 64)
	for i := range ids {
		u, err := db.AddUser(ctx, latchkey.User{Name: fmt.Sprintf("bench%d", i), Directory: latchkey.Builtin}, latchkey.Event{Kind: latchkey.UserAdded})
		if err != nil {
			return err
		}
		ids[i] = u.ID
	}
	for _, callers := range []int{1, 8, 32} {
		l, err := together(callers, d, func(caller, n int) error {
			return db.SetDisabled(ctx, ids[caller], n%2 == 0, latchkey.Event{Kind: latchkey.UserDisabled})
		})
		if err != nil {
			return err
		}
		b.commits = l.perSecond()
		b.times(fmt.Sprintf("database alone, the store's writer, %d callers", callers), l.took, fmt.Sprintf("%.0f commits/s", b.commits))
	}
	return b.plainCommits(filepath.Join(dir, store.DatabaseFile), ids[0], d)
}

// plainCommits does the same without the store: one transaction each.
func (b *bench) plainCommits(path string, id latchkey.UserID, d time.Duration) error {
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(ON)&_txlock=immediate")
	if err != nil {
		return err
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	update, err := db.Prepare("UPDATE users SET disabled = $1 WHERE id = $2")
	if err != nil {
		return err
	}
	insert, err := db.Prepare("INSERT INTO events (id, time, kind) VALUES ($1, $2, 'bench')")
	if err != nil {
		return err
	}
	l, err := together(1, d, func(_, n int) error {
		tx, err := db.Begin()
		if err != nil {
			return err
		}
		defer tx.Rollback() // after the commit it does nothing
		if _, err := tx.Stmt(update).Exec(n%2 == 0, string(id)); err != nil {
			return err
		}
		if _, err := tx.Stmt(insert).Exec(fmt.Sprintf("bench_%d", n), n); err != nil {
			return err
		}
		return tx.Commit()
	})
	if err != nil {
		return err
	}
	b.times("database alone, plain transactions, 1 caller", l.took, fmt.Sprintf("%.0f commits/s", l.perSecond()))
	return nil
}

// together calls do from several places at once for some time.
func together(callers int, d time.Duration, do func(caller, n int) error) (level, error) {
	took, errs := make([][]time.Duration, callers), make([]error, callers)
	var all sync.WaitGroup
	start := time.Now()
	for c := range callers {
		all.Go(func() {
			for n := 0; errs[c] == nil && time.Since(start) < d; n++ {
				begin := time.Now()
				errs[c] = do(c, n)
				took[c] = append(took[c], time.Since(begin))
			}
		})
	}
	all.Wait()
	out := level{elapsed: time.Since(start)}
	for c := range callers {
		if errs[c] != nil {
			return level{}, errs[c]
		}
		out.took = append(out.took, took[c]...)
	}
	return out, nil
}
