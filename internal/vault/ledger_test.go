package vault

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"latchkey/internal/api"
	"latchkey/internal/secret"
)

// A platter is a disk under test: what was written since the last sync may get
// there whole, torn or not at all.
type platter struct {
	data    []byte
	pending []stroke
	refuse  error // what WriteAt and Sync answer
	syncs   int
}

type stroke struct {
	at   int64
	data []byte
}

var errWrite = errors.New("input/output error")

func newPlatter(s shape) *platter { return &platter{data: make([]byte, s.size())} }

// ReadAt sees what was written, as a page cache does.
func (p *platter) ReadAt(b []byte, at int64) (int, error) {
	n := copy(b, p.whole()[at:])
	return n, nil
}

func (p *platter) whole() []byte {
	if len(p.pending) == 0 {
		return p.data
	}
	all := slices.Clone(p.data)
	for _, s := range p.pending {
		copy(all[s.at:], s.data)
	}
	return all
}

func (p *platter) WriteAt(b []byte, at int64) (int, error) {
	if p.refuse != nil {
		return 0, p.refuse
	}
	p.pending = append(p.pending, stroke{at, slices.Clone(b)})
	return len(b), nil
}

func (p *platter) Sync() error {
	if p.refuse != nil {
		return p.refuse
	}
	p.data, p.pending = p.whole(), nil
	p.syncs++
	return nil
}

func (p *platter) Close() error { return nil }

var (
	smallShape = shape{Users: 3, Events: 4}
	testKey    = secret.Bytes(bytes.Repeat([]byte{7}, 32))
)

func smallLedger(t *testing.T) (*ledger, *platter) {
	t.Helper()
	p := newPlatter(smallShape)
	l, err := formatLedger(p, testKey, smallShape, head{})
	if err != nil {
		t.Fatal(err)
	}
	return l, p
}

// addUser gives the ledger a user with one credential.
func addUser(t *testing.T, l *ledger, id string) uint32 {
	t.Helper()
	d := l.draft()
	i, r, err := d.newUser()
	if err != nil {
		t.Fatal(err)
	}
	r.User, r.State = labelOf(id), slotHeld
	r.hold("cred-" + "1").Next = 100
	if err := l.commit(d); err != nil {
		t.Fatal(err)
	}
	return i
}

func TestRecordsFitTheirPlaces(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		rec  any
		most int
	}{{head{}, headSize}, {record{}, slotSize}, {event{}, eventSize}, {superblock{}, headSize}} {
		if n := binary.Size(tc.rec); n < 0 || n > tc.most-macSize {
			t.Errorf("%T takes %d of %d bytes", tc.rec, n, tc.most-macSize)
		}
	}
	if wholeShape.size() > 8<<20 {
		t.Errorf("the ledger has %d bytes", wholeShape.size())
	}
}

// A snapshot is all that a reopened ledger must agree on.
type snapshot struct {
	head  head
	users [3]record
}

func state(l *ledger) (s snapshot) {
	s.head = l.head
	copy(s.users[:], l.users)
	return s
}

// change is what one login writes: a charge or a consumption, and an event.
func change(l *ledger, i uint32, charge bool) *draft {
	d := l.draft()
	h := d.user(i).hold("cred-1")
	if charge {
		h.Root.Fails++
	} else {
		h.Next++
		d.user(i).Uses++
	}
	d.record(api.Report{Reason: "x", At: int64(l.head.Generation)})
	return d
}

// A crash may let any of the writes since the last sync through, whole or torn
// at any byte, and the others not. The ledger must then be what it was before
// or what it would have been after: no other state, and never none.
func TestF03EveryTornWriteLeavesTheOldStateOrTheNew(t *testing.T) {
	t.Parallel()
	for name, charge := range map[string]bool{"charge": true, "consume": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, p := smallLedger(t)
			i := addUser(t, l, "ana")
			addUser(t, l, "bob")
			for round := range 6 { // so that both copies and both heads take every part, and the ring wraps
				before, disk := state(l), slices.Clone(p.data)
				cut := &platter{data: slices.Clone(disk)}
				trial := reopen(t, cut)
				trial.file = &noSync{cut}
				if err := trial.commit(change(trial, i, charge)); err != nil {
					t.Fatal(err)
				}
				tearEveryWay(t, disk, cut.pending, before, state(trial), round)
				if err := l.commit(change(l, i, charge)); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// noSync is a disk whose power fails before the sync.
type noSync struct{ *platter }

func (n *noSync) Sync() error { return nil }

func reopen(t *testing.T, p *platter) *ledger {
	t.Helper()
	l, err := openLedger(p, testKey)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func tearEveryWay(t *testing.T, disk []byte, writes []stroke, before, after snapshot, round int) {
	t.Helper()
	for torn, w := range writes {
		for through := range 1 << len(writes) {
			if through>>torn&1 == 1 {
				continue // the torn one is neither whole nor absent
			}
			data := slices.Clone(disk)
			for j, other := range writes {
				if through>>j&1 == 1 {
					copy(data[other.at:], other.data)
				}
			}
			for n := range len(w.data) + 1 {
				if n > 0 {
					data[w.at+int64(n)-1] = w.data[n-1]
				}
				if (round > 1 || through != 0) && n%97 != 0 && n < len(w.data)-4 {
					continue // every byte of each copy alone; with the others, samples
				}
				l, err := openLedger(&platter{data: data}, testKey)
				if err != nil {
					t.Fatalf("round %d, write %d torn at %d, through %b: %v", round, torn, n, through, err)
				}
				if got := state(l); got != before && got != after {
					t.Fatalf("round %d, write %d torn at %d, through %b:\n got %+v\nwant %+v\n  or %+v", round, torn, n, through, got, before, after)
				}
			}
		}
	}
}

func TestReopeningGivesWhatWasAcknowledged(t *testing.T) {
	t.Parallel()
	l, p := smallLedger(t)
	i := addUser(t, l, "ana")
	for n := range 20 {
		if err := l.commit(change(l, i, n%3 == 0)); err != nil {
			t.Fatal(err)
		}
		if got := state(reopen(t, p)); got != state(l) {
			t.Fatalf("after write %d:\n got %+v\nwant %+v", n, got, state(l))
		}
	}
}

func TestOneSyncPerWrite(t *testing.T) {
	t.Parallel()
	l, p := smallLedger(t)
	i := addUser(t, l, "ana")
	before := p.syncs
	if err := l.commit(change(l, i, true)); err != nil {
		t.Fatal(err)
	}
	if got := p.syncs - before; got != 1 {
		t.Errorf("%d syncs for one write", got)
	}
}

// A failed write must neither count nor come back to life later: the copies
// that it left behind are pointed to by no head.
func TestF05AFailedWriteNeverCountsAndNeverConfuses(t *testing.T) {
	t.Parallel()
	l, p := smallLedger(t)
	ana, bob := addUser(t, l, "ana"), addUser(t, l, "bob")
	before := state(l)
	l.file = &failSync{p}
	if err := l.commit(change(l, ana, false)); !errors.Is(err, errWrite) {
		t.Fatalf("error %v", err)
	}
	if state(l) != before {
		t.Fatal("a write that failed has counted")
	}
	l.file = p
	if err := l.commit(change(l, bob, true)); err != nil {
		t.Fatal(err)
	}
	again := reopen(t, p)
	if state(again) != state(l) || again.users[ana].Held[0].Next != 100 || again.users[bob].Held[0].Root.Fails != 1 {
		t.Errorf("reopened as %+v", state(again))
	}
}

// failSync lets the writes through and then says that they are not safe.
type failSync struct{ *platter }

func (f *failSync) Sync() error { _ = f.platter.Sync(); return errWrite }

func TestADamagedOrForeignLedgerDoesNotOpen(t *testing.T) {
	t.Parallel()
	l, p := smallLedger(t)
	i := addUser(t, l, "ana")
	for range 3 {
		if err := l.commit(change(l, i, true)); err != nil {
			t.Fatal(err)
		}
	}
	slot := smallShape.slot(i, l.head.second(i))
	for name, harm := range map[string]func(d []byte) []byte{
		"both heads overwritten":  func(d []byte) []byte { clear(d[headAt(0) : headAt(1)+headSize]); return d },
		"a bit of each slot copy": func(d []byte) []byte { d[smallShape.slot(i, false)] ^= 1; d[smallShape.slot(i, true)] ^= 1; return d },
		"the superblock":          func(d []byte) []byte { d[3] ^= 1; return d },
		"one user's slot for another's": func(d []byte) []byte {
			copy(d[slot:slot+slotSize], d[smallShape.slot(2, false):])
			copy(d[smallShape.slot(i, !l.head.second(i)):], make([]byte, slotSize))
			return d
		},
		"all zeros": func(d []byte) []byte { return make([]byte, len(d)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := openLedger(&platter{data: harm(slices.Clone(p.data))}, testKey)
			if !errors.Is(err, errDamaged) {
				t.Errorf("error %v", err)
			}
		})
	}
	other := secret.Bytes(bytes.Repeat([]byte{8}, 32))
	if _, err := openLedger(p, other); !errors.Is(err, errDamaged) {
		t.Errorf("with another machine's key: %v", err)
	}
}

func TestAFullRingLosesTheOldestAndSaysSo(t *testing.T) {
	t.Parallel()
	l, p := smallLedger(t)
	i := addUser(t, l, "ana")
	for range 10 {
		if err := l.commit(change(l, i, true)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := l.reports(100)
	if err != nil {
		t.Fatal(err)
	}
	keep := int(smallShape.Events) - 1
	if len(got) != keep || got[0].Seq != uint64(10-keep+1) || l.head.Ring.Lost != uint64(10-keep) {
		t.Fatalf("%d reports, ring %+v", len(got), l.head.Ring)
	}
	for n := 1; n < len(got); n++ {
		if got[n].Prev != got[n-1].Sum() {
			t.Errorf("report %d does not name the one before", got[n].Seq)
		}
	}
	d := l.draft()
	d.acknowledge(9, nil)
	if err := l.commit(d); err != nil {
		t.Fatal(err)
	}
	got, err = reopen(t, p).reports(100)
	if err != nil || len(got) != 1 || got[0].Seq != 10 || l.head.Ring.Lost != uint64(10-keep) {
		t.Errorf("after the acknowledgement: %v %v %+v", got, err, l.head.Ring)
	}
}

func TestAServerThatKnowsMoreMovesTheNumbersOn(t *testing.T) {
	t.Parallel()
	l, _ := smallLedger(t)
	i := addUser(t, l, "ana")
	if err := l.commit(change(l, i, true)); err != nil {
		t.Fatal(err)
	}
	pending, err := l.reports(9)
	if err != nil {
		t.Fatal(err)
	}
	d := l.draft()
	d.acknowledge(500, pending)
	if err := l.commit(d); err != nil {
		t.Fatal(err)
	}
	got, err := l.reports(9)
	if err != nil || len(got) != 1 || got[0].Seq != 501 {
		t.Errorf("reports %v, error %v", got, err)
	}
}

func TestAFullLedgerReusesBuriedUsersOnly(t *testing.T) {
	t.Parallel()
	l, _ := smallLedger(t)
	addUser(t, l, "a")
	b := addUser(t, l, "b")
	addUser(t, l, "c")
	if _, _, err := l.draft().newUser(); !errors.Is(err, ErrFull) {
		t.Fatalf("error %v", err)
	}
	d := l.draft()
	d.user(b).State = slotBuried
	if err := l.commit(d); err != nil {
		t.Fatal(err)
	}
	if got := addUser(t, l, "d"); got != b || l.users[b].User != labelOf("d") {
		t.Errorf("slot %d, users %+v", got, l.users)
	}
}

// The ledger as a machine of states: whatever is written, crashes or fails in
// between, what was acknowledged is there, and on top of it at most one change
// that was tried since and not acknowledged.
func TestTheLedgerKeepsItsPromises(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		p := newPlatter(smallShape)
		l, err := formatLedger(p, testKey, smallShape, head{})
		if err != nil {
			r.Fatal(err)
		}
		base, tried := state(l), []snapshot(nil) // tried: changes to base that nobody was told of
		for range rapid.IntRange(1, 30).Draw(r, "steps") {
			disk, d := slices.Clone(p.data), randomDraft(r, l)
			switch rapid.IntRange(0, 3).Draw(r, "fate") {
			case 0: // power cut: some of the writes, torn
				cut := &platter{data: disk}
				l.file = &noSync{cut}
				if err := l.commit(d); err != nil {
					r.Fatal(err)
				}
				tried = append(tried, state(l))
				p = crashed(r, disk, cut.pending)
			case 1: // the disk says no after writing
				l.file = &failSync{p}
				if err := l.commit(d); err == nil {
					r.Fatal("a failed sync was ignored")
				}
				l.file = p
				if state(l) != base {
					r.Fatal("a write that failed has counted")
				}
				tried = append(tried, state(mustOpen(r, p)))
				continue
			default:
				if err := l.commit(d); err != nil {
					r.Fatal(err)
				}
				base, tried = state(l), nil
			}
			l = mustOpen(r, p)
			if got := state(l); got != base && !slices.Contains(tried, got) {
				r.Fatalf("got %+v\nwant %+v\n  or %+v", got, base, tried)
			}
			if state(l) != base {
				base, tried = state(l), nil
			}
		}
	})
}

func mustOpen(r *rapid.T, p *platter) *ledger {
	l, err := openLedger(p, testKey)
	if err != nil {
		r.Fatal(err)
	}
	return l
}

func randomDraft(r *rapid.T, l *ledger) *draft {
	d := l.draft()
	if n := uint32(len(l.users)); n > 0 {
		i := rapid.Uint32Range(0, n-1).Draw(r, "user")
		d.user(i).Uses++
		d.user(i).hold("cred-1").Root.Fails++
	}
	if rapid.Bool().Draw(r, "new") {
		if _, u, err := d.newUser(); err == nil {
			u.User, u.State = labelOf("someone"), slotHeld
		}
	}
	for range rapid.IntRange(0, 2).Draw(r, "events") {
		d.record(api.Report{Reason: "x"})
	}
	return d
}

func crashed(r *rapid.T, disk []byte, writes []stroke) *platter {
	for _, w := range writes {
		n := rapid.SampledFrom([]int{0, 1, len(w.data) / 2, len(w.data) - 1, len(w.data)}).Draw(r, "through")
		copy(disk[w.at:], w.data[:n])
	}
	return &platter{data: disk}
}
