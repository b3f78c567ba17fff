package authn_test

import (
	"context"
	"testing"

	"latchkey"
	"latchkey/internal/authn"
	"latchkey/internal/store"
)

// A between is the store with somebody who acts once, after the facts of a
// logon were read and before what it changes is written.
type between struct {
	*store.DB
	act func()
}

func (b *between) Settle(ctx context.Context, s authn.Settlement) (uint64, error) {
	if act := b.act; act != nil {
		b.act = nil
		act()
	}
	return b.DB.Settle(ctx, s)
}

// meanwhile lets act happen between the next logon's facts and its settlement.
func (w *world) meanwhile(act func() error) {
	k := w.db.Keys()
	b := &between{DB: w.db, act: func() { w.must(act()) }}
	w.authn = authn.New(b, authn.Keys{Deployment: k.Deployment, Signer: k.Signer, State: k.State}, w.now)
}

func TestNobodyEntersWhoWasPutOutWhileHisCodeWasChecked(t *testing.T) {
	t.Parallel()
	disable := func(w *world, u latchkey.UserID) func() error {
		return func() error { return w.db.SetDisabled(w.ctx, u, true, latchkey.Event{Kind: latchkey.UserDisabled}) }
	}
	remove := func(w *world, _ latchkey.UserID) func() error {
		return func() error {
			return w.db.RemoveMachine(w.ctx, w.machine, latchkey.Event{Kind: latchkey.MachineRemovedEvent})
		}
	}
	type deed = func(*world, latchkey.UserID) func() error
	code := func(w *world) string { return w.login("ana", w.code(1)) }
	alone := func(w *world) string { return w.login("ana") }
	exempt := latchkey.DefaultSettings()
	exempt.Mode = latchkey.Exempt
	for name, tc := range map[string]struct {
		known, exempt bool
		act           deed
		login         func(*world) string
		want          string
	}{
		"disabled before his first login":       {act: disable, login: code, want: "deny account_disabled"},
		"disabled where he is known":            {known: true, act: disable, login: code, want: "deny account_disabled"},
		"the machine is removed":                {act: remove, login: code, want: "deny machine_removed"},
		"the machine is removed, he is known":   {known: true, act: remove, login: code, want: "deny machine_removed"},
		"disabled at an exempt machine":         {exempt: true, act: disable, login: alone, want: "deny account_disabled"},
		"an exempt machine is removed":          {exempt: true, act: remove, login: alone, want: "deny machine_removed"},
		"a stranger at a machine that goes":     {exempt: true, act: remove, login: func(w *world) string { return w.login("stranger") }, want: "deny machine_removed"},
		"deleted, and nobody any more":          {known: true, act: forget, login: code, want: "deny account_disabled"},
		"nothing that bears on him: he gets in": {known: true, act: rename, login: code, want: "allow verified_online"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			ana := w.user("ana")
			w.totp(ana)
			if tc.known {
				w.expect(w.login("ana", w.code(0)), "allow verified_online")
			}
			if tc.exempt {
				w.must(w.db.ChangeMachine(w.ctx, w.machine, exempt, latchkey.Event{Kind: latchkey.MachineChanged}))
			}
			w.meanwhile(tc.act(w, ana))
			w.expect(tc.login(w), tc.want)
		})
	}
}

// forget deletes the user; rename does something to him that no entry rests on.
func forget(w *world, u latchkey.UserID) func() error {
	return func() error { return w.db.DeleteUser(w.ctx, u, latchkey.Event{Kind: latchkey.UserDeleted}) }
}

func rename(w *world, u latchkey.UserID) func() error {
	return func() error {
		return w.db.SetGroups(w.ctx, u, []string{"staff"}, latchkey.Event{Kind: latchkey.UserChanged})
	}
}
