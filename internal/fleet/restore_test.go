package fleet_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey"
	"latchkey/internal/api"
	"latchkey/internal/otp"
	"latchkey/internal/policy"
	"latchkey/internal/store"
	"latchkey/internal/store/storetest"
)

// The server's disk is lost; yesterday's backup takes its place. The machines
// went on meanwhile.
func TestF10MachinesGoOnWithYesterdaysBackup(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w := worldIn(t, filepath.Join(dir, "data"), storetest.Database(t))
	ana := w.user("ana", latchkey.TOTP)
	m := w.machine("pc-1")
	if got := m.login("ana", w.code(0)); got != "allow verified_online" {
		t.Fatal(got)
	}
	m.sync()
	c := m.fetch(ana).Credentials[0].ID
	file := filepath.Join(dir, "yesterday.backup")
	if _, err := w.db.Backup(w.ctx, file, filepath.Join(dir, "data", store.MasterKeyFile)); err != nil {
		t.Fatal(err)
	}

	w.pass(day)
	seen := w.code(0) // accepted by the server that will be lost
	if got := m.login("ana", seen); got != "allow verified_online" {
		t.Fatal(got)
	}
	m.offline(ana, c, otp.Step(w.now(), 30)+1)
	m.sync()
	m.queue = nil // the server has them, says the server
	high, before := m.settings.Version, w.db.Keys()
	w.must(w.db.Close())

	at := w.now()
	restored, database := filepath.Join(dir, "restored"), storetest.Database(t)
	_, aside, err := store.Restore{File: file, Dir: restored, Database: database, Now: func() time.Time { return at }}.Run(t.Context())
	if err != nil || aside != "" {
		t.Fatal(aside, err)
	}
	w = worldIn(t, restored, database)
	defer func() { w.must(w.db.Close()) }()
	w.clock.at = at
	m.world = w
	if k := w.db.Keys(); k.Epoch <= before.Epoch || k.Deployment != before.Deployment || !k.Signer.Equal(before.Signer) {
		t.Errorf("epoch %d after %d", k.Epoch, before.Epoch)
	}
	if got := m.login("ana", seen); got == "allow verified_online" {
		t.Error("a code that the lost server accepted works again")
	}
	w.pass(5 * time.Minute)
	m.offline(ana, c, otp.Step(w.now(), 30))
	m.sync()
	if m.settings.Version <= high {
		t.Errorf("settings of version %d after %d", m.settings.Version, high)
	}
	if got := m.login("ana", w.code(0)); got == "allow verified_online" {
		t.Error("the machine's counter was not merged upward")
	}
	w.pass(2 * time.Minute)
	if got := m.login("ana", w.code(0)); got != "allow verified_online" {
		t.Errorf("after the restore: %s", got)
	}
	m.sync()
	if got := m.fetch(ana); got.Version <= high-uint64(day.Milliseconds()) {
		t.Errorf("a bundle of version %d", got.Version)
	}
	all, _, err := w.fleet.Machines(w.ctx, latchkey.Page{})
	if err != nil || len(all) != 1 || all[0].State != latchkey.Active {
		t.Errorf("machines %+v, %v", all, err)
	}
	if i := w.incidents(); slices.ContainsFunc(i, func(s string) bool { return !strings.Contains(s, "missing") && !strings.Contains(s, "backup") }) {
		t.Errorf("incidents %q", i)
	}
}

// yesterday is a token's owner on machine A at the moment of a backup, and what
// puts that backup in the place of the database.
func yesterday(t *testing.T) (w *world, ana latchkey.UserID, a *machine, token latchkey.AuthenticatorID, restore func()) {
	t.Helper()
	dir := t.TempDir()
	w = worldIn(t, filepath.Join(dir, "data"), storetest.Database(t))
	ana = w.user("ana", latchkey.HOTP)
	a = w.machine("pc-a")
	w.expect(a.login("ana", counter(0)), "allow verified_online")
	a.sync()
	token = a.fetch(ana).Credentials[0].ID
	file := filepath.Join(dir, "yesterday.backup")
	_, err := w.db.Backup(w.ctx, file, filepath.Join(dir, "data", store.MasterKeyFile))
	w.must(err)
	restore = func() {
		t.Helper()
		w.must(w.db.Close())
		at := w.now()
		restored, database := filepath.Join(dir, "restored"), storetest.Database(t)
		_, _, err := store.Restore{File: file, Dir: restored, Database: database, Now: func() time.Time { return at }}.Run(t.Context())
		w.must(err)
		*w = *worldIn(t, restored, database)
		t.Cleanup(func() { w.must(w.db.Close()) })
		w.clock.at = at
	}
	return w, ana, a, token, restore
}

// What a machine remembers of a hardware token counts where the server has
// forgotten it: codes that were used offline and reported, and codes that the
// lost server took.
func TestF10CodesOfATokenThatAMachineRemembersStayUsedAfterARestore(t *testing.T) {
	t.Parallel()
	w, ana, a, token, restore := yesterday(t)
	w.pass(day)
	for n := range uint64(3) {
		a.offline(ana, token, 1+n)
	}
	a.sync()
	w.expect(a.login("ana", counter(4)), "allow verified_online")
	a.sync()
	held := a.fetch(ana)
	restore()
	a.queue = nil // the server has them, said the lost one
	b := w.machine("elsewhere")
	out := a.sync(api.Known{User: ana, Version: held.Version, Floors: []latchkey.Floor{{Credential: token, Next: 5}}})
	if out.State != "active" {
		t.Fatalf("the machine is %s: %q", out.State, w.incidents())
	}
	for n := uint64(1); n <= 4; n++ {
		w.expect(b.login("ana", counter(n)), "deny code_already_used")
	}
	w.expect(b.login("ana", counter(5)), "allow verified_online")
	if got := version(out, ana); got <= held.Version {
		t.Errorf("it keeps the header of the lost server: told %d, holds %d", got, held.Version)
	}
	if got := w.told("the machine was told more than the database knows: a backup was put in its place"); len(got) != 1 {
		t.Errorf("incidents %q", w.incidents())
	}
	// From now on the database knows what it told: floors alone raise nothing.
	a.sync(api.Known{User: ana, Floors: []latchkey.Floor{{Credential: token, Next: 9}}})
	if got := w.next(token); got != 6 {
		t.Errorf("the counter is at %d", got)
	}
}

func TestF10AMachineRaisesACounterNoFurtherThanAWindowAfterARestore(t *testing.T) {
	t.Parallel()
	w, ana, a, token, restore := yesterday(t)
	w.pass(day)
	a.sync()
	restore()
	if got := a.sync(api.Known{User: ana, Floors: []latchkey.Floor{{Credential: token, Next: 1 << 40}}}); got.State != "active" {
		t.Errorf("the machine is %s", got.State)
	}
	if got := w.next(token); got > 1+policy.MaxWindow {
		t.Errorf("the counter is at %d", got)
	}
}

// Whom and what a machine got after the backup is unknown now, and no lie.
func TestF10AMachineThatWasHandedCodesAfterTheBackupIsNoLiar(t *testing.T) {
	t.Parallel()
	w, ana, a, token, restore := yesterday(t)
	w.pass(day)
	added, err := w.enroll.AddAuthenticator(w.ctx, "admin", "ana", api.AddAuthenticator{Kind: latchkey.TOTP})
	w.must(err)
	w.expect(a.login("ana", "hotp", counter(40)), "ask secret")
	w.expect(a.login("ana", "hotp", counter(40), counter(41)), "allow verified_online")
	a.sync()
	a.fetch(ana) // tokens up to 71, and codes of the new app
	w.pass(time.Minute)
	restore()
	a.offline(ana, token, 50)
	a.offline(ana, added.ID, otp.Step(w.now(), 30))
	known := api.Known{User: ana, Floors: []latchkey.Floor{{Credential: token, Next: 51}, {Credential: added.ID, Next: otp.Step(w.now(), 30) + 1}}}
	for range 3 {
		if out := a.sync(known); out.State != "active" {
			t.Fatalf("the machine is %s: %q", out.State, w.incidents())
		}
		w.pass(time.Minute)
	}
	if got := w.next(token); got != 51 {
		t.Errorf("the counter is at %d", got)
	}
	w.pass(2 * day)
	if out := a.sync(known); out.State != "quarantined" {
		t.Errorf("days later it is %s", out.State)
	}
}

// A machine that joined and was told its settings a moment ago shows nothing by
// them: its floors are not believed.
func TestAMachineThatJoinsShowsNoRestore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	token := w.token(2)
	m, out, err := w.join("pc-1", token)
	w.must(err)
	m.proof = out.Settings
	m.sync()
	w.pass(time.Hour)
	if out, err = m.again("pc-1", token); err != nil {
		t.Fatal(err)
	}
	m.proof = out.Settings
	m.sync()
	if got := w.incidents(); len(got) != 0 {
		t.Errorf("incidents %q", got)
	}
}

// Whom a machine met after the backup it names at each contact. That is one line,
// and it says who he is.
func TestF10WhatAMachineHoldsBeyondTheBackupIsToldOnce(t *testing.T) {
	t.Parallel()
	w, ana, a, token, restore := yesterday(t)
	bob := w.user("bob", latchkey.TOTP) // after the backup
	w.pass(time.Minute)
	w.expect(a.login("bob", w.code(0)), "allow verified_online")
	a.sync()
	restore()
	known := []api.Known{
		{User: bob, Version: 7}, {User: "usr_<\"x\n>", Version: 7},
		{User: ana, Version: 7, Floors: []latchkey.Floor{{Credential: token, Next: 1}, {Credential: "aut_0123", Next: 4}}},
	}
	for range 5 {
		if out := a.sync(known...); out.State != "active" {
			t.Fatalf("the machine is %s: %q", out.State, w.incidents())
		}
		w.pass(time.Minute)
	}
	strangers := w.told("the machine holds a user whom it was told nothing of")
	if len(strangers) != 2 || strangers[1].Detail["user"] != string(bob) || strangers[0].Detail["user"] != `"usr_<\"x\n>"` {
		t.Errorf("strangers %+v", strangers)
	}
	beyond := w.told("the machine holds an authenticator that the user does not have")
	if len(beyond) != 1 || beyond[0].User != ana || beyond[0].Detail["authenticator"] != "aut_0123" {
		t.Errorf("authenticators %+v", beyond)
	}
}

// A user of the backup whose first login on the machine came after it is named.
func TestF10AStrangerWhoExistsIsNamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ana := w.user("ana", latchkey.TOTP)
	m := w.machine("pc-1")
	m.sync(api.Known{User: ana, Version: 7})
	m.sync(api.Known{User: ana, Version: 7})
	got := w.told("the machine holds a user whom it was told nothing of")
	if len(got) != 1 || got[0].User != ana || got[0].UserName != "ana" || got[0].Detail["user"] != string(ana) {
		t.Errorf("incidents %+v", got)
	}
}

// Who looks into an impossible report reads whose code of which token it was.
func TestAnImpossibleCounterIsToldWithItsUserAndToken(t *testing.T) {
	t.Parallel()
	w, ana, a, _, token := two(t)
	a.offline(ana, token, 45)
	a.sync()
	got := w.told("an event names a code that the machine does not have yet")
	if len(got) != 1 || got[0].User != ana || got[0].Detail["authenticator"] != string(token) || got[0].Detail["counter"] != "45" || got[0].Detail["logon"] == "" {
		t.Errorf("incidents %+v", got)
	}
}
