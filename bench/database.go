//go:build linux

package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"latchkey"
	"latchkey/internal/api"
	"latchkey/internal/authn"
	"latchkey/internal/fleet"
	"latchkey/internal/secret"
	"latchkey/internal/store"
)

// database measures what the database alone commits, through the store's own
// writer with as many callers as the load has clients: the least, one row
// changed and one event written, and everything that a login writes. What 32
// callers reach is what the load is compared with.
func (b *bench) database(d time.Duration) error {
	dir := filepath.Join(b.dir, "database")
	db, err := store.Open(context.Background(), store.Config{Dir: dir, Now: time.Now})
	if err != nil {
		return err
	}
	defer db.Close()
	w := newWrites(db)
	if err := w.prepare(); err != nil {
		return err
	}
	if b.commits, err = b.writing("a row and an event", d, w.least); err != nil {
		return err
	}
	if b.settled, err = b.writing("all that a login writes", d, w.login); err != nil {
		return err
	}
	return b.plainCommits(filepath.Join(dir, store.DatabaseFile), w.users[0], d)
}

// writing measures one kind of transaction and returns how many 32 callers
// commit in a second.
func (b *bench) writing(what string, d time.Duration, do func(caller, n int) error) (float64, error) {
	var most float64
	for _, callers := range []int{1, 8, 32} {
		l, err := together(callers, d, do)
		if err != nil {
			return 0, err
		}
		most = l.perSecond()
		b.times(fmt.Sprintf("%s, %d caller(s)", what, callers), l.took, fmt.Sprintf("%.0f commits per second", most))
	}
	return most, nil
}

// hotUsers is how many users the rows of the bare database belong to.
const hotUsers = 2048

// writes are transactions without anybody who asks for them.
type writes struct {
	db      *store.DB
	machine latchkey.MachineID
	users   []latchkey.UserID
	keys    []latchkey.AuthenticatorID
	next    []uint64 // the lowest step that the user did not use
}

func newWrites(db *store.DB) *writes {
	return &writes{db: db, users: make([]latchkey.UserID, hotUsers), keys: make([]latchkey.AuthenticatorID, hotUsers), next: make([]uint64, hotUsers)}
}

// prepare makes a machine, and users with an authenticator each.
func (w *writes) prepare() (err error) {
	if w.machine, err = oneMachine(w.db); err != nil {
		return err
	}
	errs := make(chan error, hotUsers)
	for i := range w.users {
		go func() {
			var err error
			w.users[i], w.keys[i], err = oneUser(w.db, fmt.Sprintf("u%d", i), []byte("12345678901234567890"))
			errs <- err
		}()
	}
	for range w.users {
		err = errors.Join(err, <-errs)
	}
	return err
}

// least changes one row and writes one event. Whom it leaves disabled could not
// log in any more.
func (w *writes) least(caller, _ int) error {
	return w.db.SetDisabled(context.Background(), w.users[caller], false, latchkey.Event{Kind: latchkey.UserEnabled})
}

// login writes what a right code at an ordinary login changes.
func (w *writes) login(caller, n int) error {
	i := (n*machines + caller) % hotUsers
	now, from := time.Now(), latchkey.CredentialState{Next: w.next[i]}
	w.next[i]++
	id, err := w.db.EventID()
	if err != nil {
		return err
	}
	name := binary.BigEndian.AppendUint64(make([]byte, 0, 40), uint64(now.UnixMilli()))[:40] // as authn names answers
	if _, err := rand.Read(name[8:]); err != nil {
		return err
	}
	_, err = w.db.Settle(context.Background(), authn.Settlement{
		Now: now, Answer: name, Machine: w.machine, User: w.users[i], Enters: true, Anchor: now,
		Moves: []authn.Move{{Credential: w.keys[i], From: from, To: latchkey.CredentialState{Next: w.next[i]}, Used: true}},
		Used:  &authn.Use{Credential: w.keys[i], Number: from.Next},
		Result: authn.Result{Verdict: &api.Verdict{
			Deployment: "d_0123456789abcdef", Machine: w.machine, Logon: id, At: now.UnixMilli(), User: w.users[i],
			Outcome: latchkey.Allowed, Reason: latchkey.VerifiedOnline, Event: id, Anchor: now.UnixMilli(),
			Floors: []latchkey.Floor{{Credential: w.keys[i], Next: w.next[i]}},
		}},
		Event: latchkey.Event{
			ID: id, Time: now, Kind: latchkey.LogonEvent, User: w.users[i], UserName: "u", Machine: w.machine, Host: "load",
			Outcome: latchkey.Allowed, Reason: latchkey.VerifiedOnline, Scenario: latchkey.Console, Logon: id[4:],
			Detail: map[string]string{"policy": latchkey.DefaultPolicy, "row": "12"},
		},
	})
	return err
}

// oneMachine joins a machine, straight in the database.
func oneMachine(db *store.DB) (latchkey.MachineID, error) {
	ctx, hash := context.Background(), []byte("token")
	ticket := fleet.Ticket{Hash: hash, Uses: 1, Actor: "bench", ExpiresAt: time.Now().Add(time.Hour)}
	if err := db.CreateMachineToken(ctx, ticket, latchkey.Event{Kind: latchkey.MachineTokenCreated}); err != nil {
		return "", err
	}
	m, err := db.Join(ctx, hash, latchkey.Machine{
		Name: "load", Settings: latchkey.DefaultSettings(), KeyClass: latchkey.Software, IdentityHash: []byte{1}, SealingKey: []byte{1},
	}, latchkey.Event{Kind: latchkey.MachineEnrolled})
	return m.ID, err
}

// oneUser adds somebody with an authenticator app, straight in the database.
func oneUser(db *store.DB, name string, seed secret.Bytes) (latchkey.UserID, latchkey.AuthenticatorID, error) {
	ctx := context.Background()
	u, err := db.AddUser(ctx, latchkey.User{Name: name, Directory: latchkey.Builtin}, latchkey.Event{Kind: latchkey.UserAdded})
	if err != nil {
		return "", "", err
	}
	id, err := db.AddAuthenticator(ctx, latchkey.Authenticator{
		User: u.ID, Kind: latchkey.TOTP, Algorithm: "SHA1", Digits: 6, Period: 30, CreatedAt: time.Now(),
	}, bytes.Clone(seed), 0, latchkey.Event{Kind: latchkey.AuthenticatorAdded})
	return u.ID, id, err
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
	b.times("a row and an event, plain transactions, 1 caller", l.took, fmt.Sprintf("%.0f commits per second", l.perSecond()))
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
