//go:build linux

package agent_test

import (
	"testing"
	"time"

	"latchkey"
	"latchkey/internal/store"
)

// turn changes the server's ring.
func (w *world) turn(do func(e latchkey.Event) error) {
	w.Helper()
	w.ok(do(latchkey.Event{Detail: map[string]string{}, Kind: latchkey.KeyAnnounced}))
	w.ok(w.db.RefreshRing(w.Context()))
}

func (w *world) announce() {
	w.turn(func(e latchkey.Event) error { _, err := w.db.AnnounceKey(w.Context(), e); return err })
}

func (w *world) change() {
	w.turn(func(e latchkey.Event) error { _, err := w.db.SwitchKey(w.Context(), true, e); return err })
}

func (w *world) retireOldest() {
	w.turn(func(e latchkey.Event) error {
		all, err := w.db.SigningKeys(w.Context())
		w.ok(err)
		for _, k := range all {
			if k.State == store.KeyBelieved {
				return w.db.RetireKey(w.Context(), k.ID, false, e)
			}
		}
		w.Fatal("no key can be retired")
		return nil
	})
}

// offline logs in with the cable pulled.
func (w *world) offline(when string) {
	w.Helper()
	w.sync()
	w.unplug()
	w.expect(w.signIn("ana", w.next("ana")), "allow verified_offline", when)
	w.plug()
	w.sync()
}

// A machine hears of the next signing key before anything is signed with it, and
// what the one before signed holds until its end.
func TestTheServersSigningKeyChangesUnderARunningMachine(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.user("ana")
	w.start()
	w.expect(w.signIn("ana", w.next("ana")), "allow verified_online", "at first")
	w.sync()
	for range 2 {
		w.announce()
		w.sync()
		w.expect(w.signIn("ana", w.next("ana")), "allow verified_online", "with a key announced")
		w.offline("with a key announced")
		w.change()
		w.offset.Add(int64(30 * time.Second)) // no contact tells the machine of the key now
		w.expect(w.signIn("ana", w.code("ana")), "allow verified_online", "by the new key")
		w.offline("after the switch")
		for range 31 {
			w.pass(24 * time.Hour)
		}
		w.sync()
		w.retireOldest()
		w.sync()
		w.expect(w.signIn("ana", w.next("ana")), "allow verified_online", "without the old key")
		w.offline("without the old key")
	}
}

// A machine that was away while the key changed decides alone until its next
// contact, and then knows the new one: the old one speaks for it.
func TestAMachineThatMissedTheAnnouncementCatchesUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.user("ana")
	w.start()
	w.expect(w.signIn("ana", w.next("ana")), "allow verified_online", "at first")
	w.sync()
	w.unplug()
	w.announce()
	w.change()
	w.expect(w.signIn("ana", w.next("ana")), "allow verified_offline", "away")
	w.plug()
	w.sync()
	w.expect(w.signIn("ana", w.next("ana")), "allow verified_online", "back")
}
