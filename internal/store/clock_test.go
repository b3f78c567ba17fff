package store

import (
	"crypto/ed25519"
	"strings"
	"testing"
	"time"

	"latchkey"
	"latchkey/internal/audit"
	"latchkey/internal/seal"
)

// switched announces a key and puts it into use at once.
func (tr *trail) switched() (replaced, next string) {
	tr.t.Helper()
	replaced = seal.KeyID(tr.Ring().Signer.Public().(ed25519.PublicKey))
	_, err := tr.AnnounceKey(tr.t.Context(), latchkey.Event{Kind: latchkey.KeyAnnounced})
	must(tr.t, err)
	next, err = tr.SwitchKey(tr.t.Context(), true, latchkey.Event{Kind: latchkey.KeySwitched})
	must(tr.t, err)
	must(tr.t, tr.RefreshRing(tr.t.Context()))
	return replaced, next
}

func (tr *trail) signer() string {
	return seal.KeyID(tr.Ring().Signer.Public().(ed25519.PublicKey))
}

// ringTrail is a trail whose keys may be switched.
func ringTrail(t *testing.T) *trail {
	t.Helper()
	tr := newTrail(t)
	tr.notary = audit.NotaryOf(tr.Keys().Deployment, tr.Ring)
	tr.sealer = tr.sealerNamed("one")
	return tr
}

// A key was switched while the clock was a day ahead. It is set right, and the
// keys go on: the one that was announced last signs, and the one before it can
// be retired.
func TestASwitchAfterTheClockWasSetBackIsASwitch(t *testing.T) {
	t.Parallel()
	tr := ringTrail(t)
	tr.now = noon.Add(24 * time.Hour)
	first, one := tr.switched()
	tr.now = noon.Add(time.Hour)
	replaced, two := tr.switched()
	if replaced != one || tr.signer() != two {
		t.Fatalf("%s signs after the switch from %s to %s", tr.signer(), replaced, two)
	}
	keys, err := tr.SigningKeys(t.Context())
	must(t, err)
	if len(keys) != 3 || keys[0].ID != first || keys[1].ID != one || keys[2].ID != two {
		t.Errorf("not in their order: %+v", keys)
	}
	must(t, tr.RetireKey(t.Context(), one, true, latchkey.Event{Kind: latchkey.KeyRetired}))
	if err := tr.RetireKey(t.Context(), two, true, latchkey.Event{Kind: latchkey.KeyRetired}); latchkey.CodeOf(err) != latchkey.Conflict {
		t.Errorf("the key in use is retired: %v", err)
	}
}

// A deployment of an earlier version may hold a key that was replaced and does
// not say until when it is believed.
func TestAKeyThatDoesNotSayUntilWhenGoesOnlyAsCompromised(t *testing.T) {
	t.Parallel()
	tr := ringTrail(t)
	first, _ := tr.switched()
	tr.sql("UPDATE signing_keys SET trusted_until = NULL WHERE id = $1", first)
	if err := tr.RetireKey(t.Context(), first, false, latchkey.Event{Kind: latchkey.KeyRetired}); latchkey.CodeOf(err) != latchkey.Conflict {
		t.Errorf("%v", err)
	}
	must(t, tr.RetireKey(t.Context(), first, true, latchkey.Event{Kind: latchkey.KeyRetired}))
}

// Nobody touches these trails: only the clock is wrong around a switch, and set
// right afterwards.
func TestAWrongClockAtASwitchDoesNotBreakTheTrail(t *testing.T) {
	t.Parallel()
	for name, wrong := range map[string]time.Duration{
		"an hour ahead": time.Hour, "a day ahead": 24 * time.Hour, "an hour behind": -time.Hour, "a day behind": -24 * time.Hour,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tr := ringTrail(t)
			step := func(at time.Duration) {
				tr.now = noon.Add(at)
				tr.forward(3)
			}
			step(0)
			step(wrong)
			first, _ := tr.switched()
			step(wrong + time.Minute)
			step(2 * time.Minute)
			_, _ = tr.switched()
			step(3 * time.Minute)
			if v := tr.verify(); !v.OK {
				t.Errorf("%+v", v.Broken)
			}
			must(t, tr.RetireKey(t.Context(), first, true, latchkey.Event{Kind: latchkey.KeyRetired}))
			step(4 * time.Minute)
			step(48 * time.Hour)
			if v := tr.verify(); !v.OK {
				t.Errorf("after the first key is retired: %+v", v.Broken)
			}
		})
	}
}

// Without hurry, a clock that is behind what was sealed is set right first.
func TestAKeyIsNotSwitchedUnderAClockThatIsBehind(t *testing.T) {
	t.Parallel()
	tr := ringTrail(t)
	tr.now = noon.Add(time.Hour)
	_, err := tr.AnnounceKey(t.Context(), latchkey.Event{Kind: latchkey.KeyAnnounced})
	must(t, err)
	tr.now = noon.Add(48 * time.Hour)
	tr.forward(1)
	tr.now = noon.Add(24 * time.Hour)
	_, err = tr.SwitchKey(t.Context(), false, latchkey.Event{Kind: latchkey.KeySwitched})
	if latchkey.CodeOf(err) != latchkey.Conflict || !strings.Contains(err.Error(), "clock") {
		t.Errorf("%v", err)
	}
	if _, err = tr.SwitchKey(t.Context(), true, latchkey.Event{Kind: latchkey.KeySwitched}); err != nil {
		t.Error(err)
	}
}
