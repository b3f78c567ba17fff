package store

import (
	"crypto/x509"
	"errors"
	"fmt"
	"testing"
	"time"

	"latchkey"
	"latchkey/internal/secret"
)

// sealed is a trail of n rows in two rounds; one more row is the default
// policy's.
func sealed(t *testing.T, n int) *trail {
	t.Helper()
	tr := newTrail(t)
	tr.grow(n - 700)
	tr.seal()
	tr.grow(700)
	tr.seal()
	if v := tr.verify(); !v.OK || v.Verified != int64(n+1) {
		t.Fatalf("before the crime: %+v", v)
	}
	return tr
}

// kept is a head as somebody copied it, to put it back.
func (tr *trail) kept() (wrapped []byte) {
	tr.t.Helper()
	must(tr.t, tr.row(tr.t.Context(), "SELECT wrapped FROM heads").Scan(&wrapped))
	return wrapped
}

func (tr *trail) incidents() (n int) {
	tr.t.Helper()
	must(tr.t, tr.row(tr.t.Context(), "SELECT count(*) FROM events WHERE kind = 'incident' AND detail LIKE '%audit_trail_altered%'").Scan(&n))
	return n
}

// forward makes n rows and seals them.
func (tr *trail) forward(n int) {
	tr.t.Helper()
	tr.grow(n)
	tr.seal()
}

// What somebody does who can write to the database, knows how the chain is made
// and leaves it whole. The next round must not sign it.
func TestN14ATrailThatWasRewrittenIsNotSealedOver(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		rows  int
		crime func(tr *trail)
	}{
		"a late row is edited, its checkpoints are deleted": {1700, func(tr *trail) {
			tr.sql("UPDATE events SET user_name = 'nobody' WHERE position = 1000")
			tr.rehash(1000)
			tr.sql("DELETE FROM checkpoints WHERE position >= 1000")
		}},
		"an early row is edited, all checkpoints are deleted": {1700, func(tr *trail) {
			tr.sql("UPDATE events SET user_name = 'nobody' WHERE position = 5")
			tr.rehash(5)
			tr.sql("DELETE FROM checkpoints")
		}},
		"a row is deleted, the gap is closed, and its checkpoints are deleted": {1700, func(tr *trail) {
			tr.sql("DELETE FROM events WHERE position = 1000")
			tr.sql("UPDATE events SET position = -position WHERE position > 1000")
			tr.sql("UPDATE events SET position = -position - 1 WHERE position < 0")
			tr.rehash(1000)
			tr.sql("DELETE FROM checkpoints WHERE position >= 1000")
		}},
		"the end is unsealed and edited": {1700, func(tr *trail) {
			tr.sql("UPDATE events SET position = NULL, hash = NULL WHERE position > 1001")
			tr.sql("UPDATE events SET user_name = 'nobody' WHERE position IS NULL")
			tr.sql("DELETE FROM checkpoints WHERE position > 1001")
		}},
		"the end is cut off at a checkpoint": {1700, func(tr *trail) {
			tr.sql("DELETE FROM events WHERE position > 1001")
			tr.sql("DELETE FROM checkpoints WHERE position > 1001")
		}},
		"everything is deleted": {1700, func(tr *trail) {
			tr.sql("DELETE FROM events")
			tr.sql("DELETE FROM checkpoints")
		}},
		"everything is deleted, and the head too": {1700, func(tr *trail) {
			tr.sql("DELETE FROM events")
			tr.sql("DELETE FROM checkpoints")
			tr.sql("DELETE FROM heads")
		}},
		"the head is another's": {1700, func(tr *trail) {
			tr.sql("UPDATE heads SET wrapped = (SELECT wrapped FROM secrets WHERE name = 'state')")
		}},
		"a long trail is sealed anew": {6000, func(tr *trail) {
			tr.sql("UPDATE events SET user_name = 'nobody' WHERE position = 5")
			tr.sql("UPDATE events SET position = NULL, hash = NULL")
			tr.sql("DELETE FROM checkpoints")
		}},
		"the last checkpoint moves": {1700, func(tr *trail) {
			tr.sql("UPDATE checkpoints SET position = 1500 WHERE position = 1701")
		}},
		"an earlier head is put back, with the trail of then": {1700, func(tr *trail) {
			then := tr.kept()
			tr.now = tr.now.Add(time.Hour)
			tr.forward(10)
			tr.sql("DELETE FROM events WHERE position > 1701")
			tr.sql("DELETE FROM checkpoints WHERE position > 1701")
			tr.sql("UPDATE heads SET wrapped = $1", then)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tr := sealed(t, tc.rows)
			tc.crime(tr)
			tr.grow(3)
			if !tr.round() {
				t.Error("the sealer noticed nothing")
			}
			for _, when := range []string{"after one round", "after two rounds"} {
				if v := tr.verify(); v.OK || v.Unsealed != 0 {
					t.Errorf("%s: %+v", when, v)
				}
				if n := tr.incidents(); n != 1 {
					t.Errorf("%s: %d incidents", when, n)
				}
				tr.forward(3)
			}
			if tr.sealer.Alive() == nil {
				t.Error("the server is well, it says")
			}
		})
	}
}

// Before the next round there is only who verifies.
func TestN14ATrailThatWasCutAtACheckpointDoesNotVerify(t *testing.T) {
	t.Parallel()
	for name, crime := range map[string]string{
		"to nothing":      "DELETE FROM %s",
		"to a checkpoint": "DELETE FROM %s WHERE position > 1001",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tr := sealed(t, 1700)
			for _, table := range []string{"events", "checkpoints"} {
				tr.sql(fmt.Sprintf(crime, table))
			}
			if v := tr.verify(); v.OK {
				t.Errorf("%+v", v)
			}
		})
	}
}

// Who fills the gap, with hashes as the sealer makes them, changes what is
// signed behind it.
func TestN14TheGapBehindAnAlteredEndCannotBeClosed(t *testing.T) {
	t.Parallel()
	tr := sealed(t, 1700)
	tr.sql("DELETE FROM events WHERE position > 1001")
	tr.sql("DELETE FROM checkpoints WHERE position > 1001")
	tr.grow(3)
	tr.round()
	var gap int64
	must(t, tr.row(t.Context(), "SELECT max(position) - count(*) FROM events").Scan(&gap))
	tr.sql("UPDATE events SET position = -position WHERE position > 1001")
	tr.sql("UPDATE events SET position = -position - $1 WHERE position < 0", gap)
	tr.rehash(1002)
	tr.sql("DELETE FROM checkpoints WHERE position > 1001")
	tr.grow(1)
	if !tr.round() || tr.verify().OK {
		t.Error("the gap is closed")
	}
}

// The lease goes from one server to another and back: each finds the end where
// the other left it, and knows it also before its first round.
func TestAServerThatTakesOverGoesOnWithTheTrail(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	one, two := trailAt(t, p), trailAt(t, p)
	one.forward(10)
	for range 3 {
		two.now = one.now.Add(time.Minute)
		two.forward(10)
		one.now = two.now.Add(time.Minute)
		one.forward(10)
	}
	then := one.kept()
	at := one.verify().Head.Position
	one.forward(10)
	two.now = one.now
	must(t, two.sealerNamed("two").Round(t.Context())) // nothing to do
	one.grow(1)
	must(t, two.sealerNamed("two").Round(t.Context())) // not its turn
	one.seal()
	if v := two.verify(); !v.OK || one.incidents() != 0 {
		t.Fatalf("%+v, %d incidents", v, one.incidents())
	}
	one.sql("DELETE FROM events WHERE position > $1", at)
	one.sql("DELETE FROM checkpoints WHERE position > $1", at)
	one.sql("UPDATE heads SET wrapped = $1", then)
	two.now = one.now.Add(time.Minute)
	two.grow(1)
	if !two.round() {
		t.Error("the second server goes on with an older trail than it has seen")
	}
}

// earlier makes the database look like one of a version that kept no head.
func (tr *trail) earlier() {
	tr.t.Helper()
	must(tr.t, tr.InTx(tr.t.Context(), func(t *Tx) error {
		der, err := x509.MarshalECPrivateKey(t.db.identity.CA)
		if err != nil {
			return err
		}
		wrapped, err := t.db.wrap.Wrap(t.db.rand, "secrets/ca", secret.Bytes(der))
		return errors.Join(err,
			t.exec("UPDATE secrets SET wrapped = $1 WHERE name = 'ca'", wrapped), t.exec("DELETE FROM heads"))
	}))
}

func TestADatabaseOfAnEarlierVersionGoesOnFromItsLastCheckpoint(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		crime   string
		altered bool
	}{
		"as it was left":                    {"", false},
		"with rows that nobody signed":      {"DELETE FROM checkpoints", true},
		"with an end that was cut off":      {"DELETE FROM events WHERE position > 1650", true},
		"with an end that was edited":       {"UPDATE events SET hash = (SELECT hash FROM events WHERE position = 5) WHERE position = 1701", true},
		"with a checkpoint that was edited": {"UPDATE checkpoints SET signed = replace(signed, 'payload', 'paylode') WHERE position = 1701", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			tr := trailAt(t, p)
			tr.forward(1700)
			ca := tr.Keys().CA
			tr.earlier()
			if tc.crime != "" {
				tr.sql(tc.crime)
			}
			again := trailAt(t, p)
			again.now = again.now.Add(time.Minute) // the lease has ended
			again.grow(1)
			if altered := again.round(); altered != tc.altered {
				t.Errorf("altered: %v", altered)
			}
			if v := again.verify(); v.OK == tc.altered {
				t.Errorf("%+v %+v", v, v.Broken)
			}
			if !again.Keys().CA.Equal(ca) {
				t.Error("the CA is another")
			}
		})
	}
}

// Nobody has a database pass for one of an earlier version.
func TestN14AHeadThatIsGoneStaysGone(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	tr := trailAt(t, p)
	tr.forward(30)
	for _, table := range []string{"events", "checkpoints", "heads"} {
		tr.sql("DELETE FROM " + table)
	}
	again := trailAt(t, p)
	again.now = again.now.Add(time.Minute) // the lease has ended
	again.grow(1)
	if again.verify().OK || !again.round() || again.verify().OK {
		t.Error("a trail that was wiped before a start passes for a new one")
	}
}

func TestAPlaceThatNoServerGaveStopsTheSealer(t *testing.T) {
	t.Parallel()
	tr := newTrail(t)
	tr.forward(3)
	tr.sql("UPDATE events SET position = $1 WHERE position = 4", int64(farthest))
	tr.grow(1)
	if err := tr.sealer.Round(t.Context()); latchkey.CodeOf(err) != latchkey.Conflict {
		t.Errorf("%v", err)
	}
	if tr.incidents() != 0 || tr.verify().OK {
		t.Error("half a round was kept")
	}
}

// BenchmarkSeal is what one round costs, with one row as on a quiet day.
func BenchmarkSeal(b *testing.B) {
	tr := newTrail(b)
	tr.seal()
	for b.Loop() {
		b.StopTimer()
		tr.grow(1)
		b.StartTimer()
		tr.seal()
	}
}
