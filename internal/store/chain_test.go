package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"latchkey"
	"latchkey/internal/api"
	"latchkey/internal/audit"
)

// A trail is a database with a sealer, and a clock that stands still.
type trail struct {
	*DB
	t      testing.TB
	notary audit.Notary
	sealer *audit.Sealer
	now    time.Time
}

func newTrail(t testing.TB) *trail {
	t.Helper()
	return trailAt(t, newPlace(t))
}

// trailAt is one of several servers on one database.
func trailAt(t testing.TB, p place) *trail {
	t.Helper()
	tr := &trail{t: t, now: noon}
	c := p.config()
	c.Now = func() time.Time { return tr.now }
	db, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	tr.DB = db
	if tr.notary, err = audit.NewNotary(db.Keys().Deployment, db.Keys().Signer); err != nil {
		t.Fatal(err)
	}
	tr.sealer = tr.sealerNamed(fmt.Sprintf("%p", tr))
	return tr
}

func (tr *trail) sealerNamed(name string) *audit.Sealer {
	return audit.NewSealer(tr.DB, tr.notary, name, time.Minute, func() time.Time { return tr.now })
}

// grow writes n rows at once.
func (tr *trail) grow(n int) {
	tr.t.Helper()
	err := tr.InTx(tr.t.Context(), func(t *Tx) error {
		for i := range n {
			e := latchkey.Event{Kind: latchkey.LogonEvent, UserName: fmt.Sprint("user", i), Detail: map[string]string{"n": fmt.Sprint(i)}}
			if err := t.addEvent(e); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		tr.t.Fatal(err)
	}
}

func (tr *trail) seal() {
	tr.t.Helper()
	if err := tr.sealer.Round(context.Background()); err != nil {
		tr.t.Fatal(err)
	}
}

// round seals a trail that may have been altered, and says whether it was.
func (tr *trail) round() (altered bool) {
	tr.t.Helper()
	err := tr.sealer.Round(context.Background())
	if err != nil && !errors.Is(err, audit.ErrAltered) {
		tr.t.Fatal(err)
	}
	return err != nil
}

func (tr *trail) sql(query string, args ...any) {
	tr.t.Helper()
	err := tr.InTx(tr.t.Context(), func(t *Tx) error {
		n, err := t.affected(query, args...)
		if err == nil && n == 0 {
			err = fmt.Errorf("nothing changed")
		}
		return err
	})
	if err != nil {
		tr.t.Fatalf("%s: %v", query, err)
	}
}

// text writes a text where a number belongs. PostgreSQL takes none; there it
// is another number, behind all places as a text is in SQLite.
func (tr *trail) text(query string, args ...any) {
	tr.t.Helper()
	if _, networked := tr.on.(*networked); networked {
		if err := tr.InTx(tr.t.Context(), func(t *Tx) error { return t.exec(query, args...) }); err == nil {
			tr.t.Fatalf("%s: a text became a number", query)
		}
		query = strings.NewReplacer("time = 'x'", "time = 1", "position = 'x'", "position = 9000000000000000001").Replace(query)
	}
	tr.sql(query, args...)
}

// verify walks the whole chain as the command line does.
func (tr *trail) verify() api.AuditVerdict {
	tr.t.Helper()
	all, err := audit.NewChain(tr.DB, tr.notary).VerifyAll(tr.t.Context())
	if err != nil {
		tr.t.Fatal(err)
	}
	return all
}

func TestWhatWasWrittenVerifies(t *testing.T) {
	t.Parallel()
	tr := newTrail(t)
	tr.grow(30)
	if v := tr.verify(); !v.OK || v.Sealed != 0 || v.Unsealed != 31 { // one is of the default policy
		t.Errorf("before sealing: %+v", v)
	}
	tr.seal()
	tr.grow(700)
	tr.seal()
	tr.grow(2500)
	tr.now = noon.Add(time.Hour)
	tr.seal()
	tr.grow(2)
	v := tr.verify()
	if !v.OK || v.Sealed != 3231 || v.Verified != 3231 || v.Unsealed != 2 || v.Head.Position != 3231 || v.Checkpoints < 4 {
		t.Errorf("%+v", v)
	}
	if err := tr.sealer.Alive(); err != nil {
		t.Error(err)
	}
}

// rehash chains the rows anew, as somebody does who edited one.
func (tr *trail) rehash(from int64) {
	tr.t.Helper()
	rows, err := tr.Links(tr.t.Context(), 0, 10_000)
	must(tr.t, err)
	var before []byte
	must(tr.t, tr.InTx(tr.t.Context(), func(t *Tx) error {
		for _, r := range rows {
			if r.Position >= from {
				r.Hash = audit.Next(before, r.Position, r.Columns)
				if err := t.exec("UPDATE events SET hash = $1 WHERE position = $2", r.Hash, r.Position); err != nil {
					return err
				}
			}
			before = r.Hash
		}
		return nil
	}))
}

// What somebody does who can write to the database, and the place that must be
// named. Position 1 is the default policy's; events are sealed in the order of
// writing.
func TestN14TheFirstBrokenLinkIsNamed(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		crime    func(tr *trail)
		position int64
		kind     string
	}{
		"a row is edited": {func(tr *trail) {
			tr.sql("UPDATE events SET user_name = 'nobody' WHERE position = 17")
		}, 17, api.LinkAltered},
		"an empty column is set": {func(tr *trail) {
			tr.sql("UPDATE events SET used = 0 WHERE position = 17")
		}, 17, api.LinkAltered},
		"text moves to the column beside it": {func(tr *trail) {
			tr.sql("UPDATE events SET actor = user_name, user_name = '' WHERE position = 17")
		}, 17, api.LinkAltered},
		"a number becomes text": {func(tr *trail) {
			tr.text("UPDATE events SET time = 'x' WHERE position = 17")
		}, 17, api.LinkAltered},
		"a hash is edited": {func(tr *trail) {
			tr.sql("UPDATE events SET hash = NULL WHERE position = 17")
		}, 17, api.LinkAltered},
		"a row is deleted": {func(tr *trail) {
			tr.sql("DELETE FROM events WHERE position = 17")
		}, 17, api.LinkMissing},
		"the first row is deleted": {func(tr *trail) {
			tr.sql("DELETE FROM events WHERE position = 1")
		}, 1, api.LinkMissing},
		"a row is deleted and the next ones close the gap": {func(tr *trail) {
			tr.sql("DELETE FROM events WHERE position = 17")
			tr.sql("UPDATE events SET position = -position WHERE position > 17")
			tr.sql("UPDATE events SET position = -position - 1 WHERE position < 0")
		}, 17, api.LinkAltered},
		"two rows change places": {func(tr *trail) {
			tr.sql("UPDATE events SET position = -17 WHERE position = 17")
			tr.sql("UPDATE events SET position = 17 WHERE position = 18")
			tr.sql("UPDATE events SET position = 18 WHERE position = -17")
		}, 17, api.LinkAltered},
		"a row loses its place and is sealed again behind": {func(tr *trail) {
			tr.sql("UPDATE events SET position = NULL, hash = NULL, user_name = 'x' WHERE position = 17")
			tr.seal()
		}, 17, api.LinkMissing},
		"a place is no number": {func(tr *trail) {
			tr.text("UPDATE events SET position = 'x' WHERE position = 17")
		}, 17, api.LinkMissing},
		"the last place is no number": {func(tr *trail) {
			tr.text("UPDATE events SET position = 'x' WHERE position = 1701")
		}, 1701, api.LinkAltered},
		"a row is edited and everything behind it hashed again": {func(tr *trail) {
			tr.sql("UPDATE events SET user_name = 'nobody' WHERE position = 1600")
			tr.rehash(1600)
		}, 751, api.LinkAltered},
		"a checkpoint is altered": {func(tr *trail) {
			tr.sql("UPDATE checkpoints SET signed = replace(signed, 'payload', 'paylode') WHERE position = 1701")
		}, 1701, api.CheckpointAltered},
		"a checkpoint is moved to another place": {func(tr *trail) {
			tr.sql("UPDATE checkpoints SET position = 1500 WHERE position = 1701")
		}, 1500, api.CheckpointAltered},
		"the end is cut off": {func(tr *trail) {
			tr.sql("DELETE FROM events WHERE position > 1650")
		}, 1651, api.LinkMissing},
		"the end is cut off and the trail goes on": {func(tr *trail) {
			tr.sql("DELETE FROM events WHERE position > 1650")
			tr.grow(5)
			tr.round()
		}, 1651, api.LinkMissing},
		"the end is cut off and its checkpoint with it": {func(tr *trail) {
			tr.sql("DELETE FROM events WHERE position > 1650")
			tr.sql("DELETE FROM checkpoints WHERE position = 1701")
		}, 751, api.CheckpointMissing},
		"rows are hashed by somebody without the key": {func(tr *trail) {
			tr.grow(1)
			tr.sql("UPDATE events SET position = 1702 WHERE position IS NULL")
			tr.rehash(1702)
		}, 1702, api.CheckpointMissing},
		"everything is gone": {func(tr *trail) {
			tr.sql("DELETE FROM events")
		}, 1, api.LinkMissing},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tr := newTrail(t)
			tr.grow(1000)
			tr.seal()
			tr.grow(700)
			tr.seal()
			if v := tr.verify(); !v.OK || v.Verified != 1701 {
				t.Fatalf("before the crime: %+v", v)
			}
			tc.crime(tr)
			v := tr.verify()
			if v.OK || v.Broken == nil || v.Broken.Position != tc.position || v.Broken.Kind != tc.kind {
				t.Errorf("%+v %+v, want %s at %d", v, v.Broken, tc.kind, tc.position)
			}
			tr.grow(3)
			tr.round()
			if v := tr.verify(); v.OK {
				t.Errorf("after one more round: %+v", v)
			}
		})
	}
}

func TestTheCheckpointsOfALongTrailCannotAllGo(t *testing.T) {
	t.Parallel()
	tr := newTrail(t)
	tr.grow(5000)
	tr.seal()
	tr.sql("DELETE FROM checkpoints WHERE position < 4000")
	if v := tr.verify(); v.OK || v.Broken.Kind != api.CheckpointMissing {
		t.Errorf("%+v", v)
	}
}

func TestOneServerSealsAtATime(t *testing.T) {
	t.Parallel()
	tr := newTrail(t)
	tr.seal()
	tr.grow(10)
	two := tr.sealerNamed("two")
	if err := two.Round(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n, err := tr.Unsealed(t.Context()); err != nil || n != 10 {
		t.Fatalf("the second sealed under the lease of the first: %d unsealed, %v", n, err)
	}
	tr.now = tr.now.Add(time.Minute)
	if err := two.Round(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n, err := tr.Unsealed(t.Context()); err != nil || n != 0 {
		t.Fatalf("the second did not take over: %d unsealed, %v", n, err)
	}
	// A lease from a clock that ran a year ahead binds nobody.
	tr.sql("UPDATE leases SET holder = 'three', ends = $1", noon.AddDate(1, 0, 0).UnixMilli())
	tr.grow(1)
	tr.seal()
	if v := tr.verify(); !v.OK || v.Unsealed != 0 {
		t.Errorf("%+v", v)
	}
}

func TestASealerThatCannotSealSaysSo(t *testing.T) {
	t.Parallel()
	tr := newTrail(t)
	tr.sql("INSERT INTO checkpoints (position, at, signed) VALUES (1, 0, '')")
	forbid := "CREATE TRIGGER no BEFORE INSERT ON checkpoints BEGIN SELECT RAISE(ABORT, 'no'); END"
	if _, networked := tr.on.(*networked); networked {
		forbid = "ALTER TABLE checkpoints ADD CONSTRAINT no CHECK (position < 0) NOT VALID"
	}
	must(t, tr.InTx(t.Context(), func(x *Tx) error { return x.exec(forbid) }))
	if err := tr.sealer.Round(t.Context()); err == nil {
		t.Fatal("sealed without a checkpoint")
	}
	if n, err := tr.Unsealed(t.Context()); err != nil || n != 1 {
		t.Errorf("%d unsealed, %v: half a round was kept", n, err)
	}
	tr.now = tr.now.Add(time.Minute)
	if tr.sealer.Alive() == nil {
		t.Error("the sealer is well, it says")
	}
}

// BenchmarkVerifyAMillionRows is what an auditor waits for.
func BenchmarkVerifyAMillionRows(b *testing.B) {
	tr := newTrail(b)
	for range 100 {
		tr.grow(10_000)
	}
	began := time.Now()
	tr.seal()
	rate := 1_000_000 / time.Since(began).Seconds()
	for b.Loop() {
		if v := tr.verify(); !v.OK || v.Verified != 1_000_001 {
			b.Fatalf("%+v", v)
		}
	}
	b.ReportMetric(rate, "sealed/s")
}
