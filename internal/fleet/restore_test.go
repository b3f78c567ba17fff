package fleet_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey"
	"latchkey/internal/otp"
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
	if k := w.db.Keys(); k.Epoch != before.Epoch+1 || k.Deployment != before.Deployment || !k.Signer.Equal(before.Signer) {
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
	if i := w.incidents(); slices.ContainsFunc(i, func(s string) bool { return !strings.Contains(s, "missing") }) {
		t.Errorf("incidents %q", i)
	}
}
