package vault

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"latchkey"
	"latchkey/internal/seal"
	"latchkey/internal/secret"
)

// A File is the ledger on disk.
type File interface {
	io.ReaderAt
	io.WriterAt
	// Sync returns when everything written is durable (fdatasync).
	Sync() error
	Close() error
}

// errDamaged: the ledger is not one that this machine has left behind.
var errDamaged = errors.New("ledger is damaged")

// The layout: superblock, two heads, two copies of each user slot, the ring of
// events. Every block ends in its MAC. Blocks do not straddle pages of 4 KiB.
const (
	magic     = "latchkey ledger\x00"
	version   = 1
	page      = 4096
	headSize  = 512
	slotSize  = 2048
	eventSize = 512
	macSize   = sha256.Size

	ledgerUsers  = 512
	ledgerEvents = 4096
	slotBits     = ledgerUsers / 8
)

// A shape is how many users and events a ledger has room for.
type shape struct{ Users, Events uint32 }

var wholeShape = shape{ledgerUsers, ledgerEvents}

func (s shape) slot(i uint32, second bool) int64 {
	at := int64(3*page) + int64(i)*2*slotSize
	if second {
		at += slotSize
	}
	return at
}

func (s shape) event(seq uint64) int64 {
	return s.slot(s.Users, false) + int64(seq%uint64(s.Events))*eventSize
}

func (s shape) size() int64 { return s.event(uint64(s.Events)-1) + eventSize }

func headAt(i int) int64 { return int64(1+i) * page }

type superblock struct {
	Magic   tag16
	Version uint32
	Shape   shape
}

// A ledger is the machine's memory. What it says in memory is what is durable:
// a write that fails changes nothing here, and what it may have left on disk is
// pointed to by nobody.
type ledger struct {
	file  File
	key   secret.Bytes
	shape shape
	head  head
	at    int    // which of the two heads is current
	tried uint64 // highest generation that was ever written
	users []record
	macs  []byte // MACs of the current copies of the user slots, in order
}

// A draft is a change that commit makes durable as a whole.
type draft struct {
	ledger *ledger
	head   head
	users  map[uint32]*record
	events []event
}

// formatLedger writes an empty ledger to a file of zeros.
func formatLedger(f File, key secret.Bytes, s shape, first head) (*ledger, error) {
	l := &ledger{file: f, key: key, shape: s, at: 1}
	super := superblock{Version: version, Shape: s}
	copy(super.Magic[:], magic)
	if err := l.write(0, headSize, super, nil); err != nil {
		return nil, err
	}
	l.head = first
	l.head.Ring.Next = max(1, first.Ring.Next)
	return l, l.commit(l.draft())
}

// openLedger recovers the newest state that is whole. One that a newer agent
// wrote is refused and not lost: it may say that a code is used up. Errors:
// errDamaged, latchkey.Conflict, or those of the file.
func openLedger(f File, key secret.Bytes) (*ledger, error) {
	l := &ledger{file: f, key: key}
	var super superblock
	if err := l.read(0, headSize, &super, nil); err != nil {
		return nil, err
	}
	if string(super.Magic[:]) == magic && super.Version > version {
		return nil, latchkey.Errorf(latchkey.Conflict, "the machine's ledger is newer than this agent (format %d, known up to %d)", super.Version, version).
			WithHint("install the version of the agent that wrote it, or a later one: nobody can log in until then")
	}
	if string(super.Magic[:]) != magic || super.Version != version ||
		super.Shape.Users > ledgerUsers || super.Shape.Events < 2 || super.Shape.Events > ledgerEvents {
		return nil, fmt.Errorf("%w: unknown form", errDamaged)
	}
	l.shape = super.Shape
	return l, l.restore()
}

// restore takes the newer head whose user slots are whole. A crash while a
// head or a slot was being written leaves the other head, and the copies that
// it points to, untouched.
func (l *ledger) restore() error {
	type candidate struct {
		head
		at int
	}
	var found []candidate
	for i := range 2 {
		var h head
		err := l.read(headAt(i), headSize, &h, nil)
		if err != nil && !errors.Is(err, errDamaged) {
			return err
		}
		if err == nil {
			found = append(found, candidate{h, i})
		}
	}
	slices.SortFunc(found, func(a, b candidate) int { return cmp.Compare(b.Generation, a.Generation) })
	for _, c := range found {
		l.tried = max(l.tried, c.Generation)
		err := l.load(c.head)
		if err == nil {
			l.head, l.at = c.head, c.at
			return nil
		}
		if !errors.Is(err, errDamaged) {
			return err
		}
	}
	return fmt.Errorf("%w: no head is whole", errDamaged)
}

// load reads the user slots that a head points to.
func (l *ledger) load(h head) error {
	if h.Used > l.shape.Users {
		return fmt.Errorf("%w: %d slots in use", errDamaged, h.Used)
	}
	users, macs := make([]record, h.Used), make([]byte, 0, int(h.Used)*macSize)
	for i := range h.Used {
		if err := l.read(l.shape.slot(i, h.second(i)), slotSize, &users[i], &macs); err != nil {
			return err
		}
	}
	if !bytes.Equal(h.Digest[:], l.digest(macs)) {
		return fmt.Errorf("%w: slots do not belong to the head", errDamaged)
	}
	l.users, l.macs = users, macs
	return nil
}

func (h *head) second(i uint32) bool { return h.Second[i/8]>>(i%8)&1 == 1 }
func (h *head) flip(i uint32)        { h.Second[i/8] ^= 1 << (i % 8) }

func (l *ledger) digest(macs []byte) []byte {
	return seal.MAC(l.key, "latchkey/ledger/digest/1", macs)
}

// draft begins a change.
func (l *ledger) draft() *draft {
	return &draft{ledger: l, head: l.head, users: map[uint32]*record{}}
}

// user returns the record in slot i, to be changed.
func (d *draft) user(i uint32) *record {
	if r, ok := d.users[i]; ok {
		return r
	}
	r := d.ledger.users[i]
	d.users[i] = &r
	return &r
}

// newUser returns a slot for another user: a free one, else one whose
// tombstone is carried out and known to be. Errors: ErrFull.
func (d *draft) newUser() (uint32, *record, error) {
	if i := d.head.Used; i < d.ledger.shape.Users {
		d.head.Used++
		d.users[i] = &record{}
		return i, d.users[i], nil
	}
	for _, state := range []uint8{slotFree, slotBuried} {
		for i, r := range d.ledger.users {
			if _, taken := d.users[uint32(i)]; r.State == state && !taken {
				d.users[uint32(i)] = &record{}
				return uint32(i), d.users[uint32(i)], nil
			}
		}
	}
	return 0, nil, ErrFull
}

// commit writes new copies of the changed slots, the events and the head beside
// the current ones, and syncs once. Whichever of these writes a crash lets
// through or tears, either the old head with its copies is whole or the new one
// is. On an error nothing has changed, and the caller must not answer yes.
func (l *ledger) commit(d *draft) error {
	l.tried++
	h, macs := d.head, slices.Grow(slices.Clone(l.macs), macSize)
	h.Generation = l.tried
	for i, r := range d.users {
		mac, err := l.writeSlot(&h, i, r)
		if err != nil {
			return err
		}
		if need := int(i+1) * macSize; len(macs) < need {
			macs = append(macs, make([]byte, need-len(macs))...)
		}
		copy(macs[i*macSize:], mac)
	}
	for _, e := range d.events {
		if err := l.write(l.shape.event(e.Seq), eventSize, e, nil); err != nil {
			return err
		}
	}
	copy(h.Digest[:], l.digest(macs))
	if err := l.write(headAt(1-l.at), headSize, h, nil); err != nil {
		return err
	}
	if err := l.file.Sync(); err != nil {
		return fmt.Errorf("syncing ledger: %w", err)
	}
	l.adopt(d, h, macs)
	return nil
}

// writeSlot writes the copy that is not current and points h to it.
func (l *ledger) writeSlot(h *head, i uint32, r *record) ([]byte, error) {
	if i < l.head.Used {
		h.flip(i)
	}
	r.Generation = h.Generation
	var mac []byte
	err := l.write(l.shape.slot(i, h.second(i)), slotSize, r, &mac)
	return mac, err
}

func (l *ledger) adopt(d *draft, h head, macs []byte) {
	for len(l.users) < int(h.Used) {
		l.users = append(l.users, record{})
	}
	for i, r := range d.users {
		l.users[i] = *r
	}
	l.head, l.macs, l.at = h, macs, 1-l.at
}

// write puts a record with its MAC at a place of size bytes. mac, where it is
// not nil, receives the MAC.
func (l *ledger) write(at int64, size int, rec any, mac *[]byte) error {
	block, err := binary.Append(make([]byte, 0, size), binary.BigEndian, rec)
	if err != nil || len(block) > size-macSize {
		return fmt.Errorf("writing ledger: %T does not fit %d bytes: %w", rec, size, err)
	}
	block = block[:size-macSize]
	sum := l.mac(at, block)
	if mac != nil {
		*mac = sum
	}
	if _, err := l.file.WriteAt(append(block, sum...), at); err != nil {
		return fmt.Errorf("writing ledger: %w", err)
	}
	return nil
}

// read is the reverse of write; it appends the MAC to macs. Errors: errDamaged,
// or those of the file.
func (l *ledger) read(at int64, size int, rec any, macs *[]byte) error {
	block := make([]byte, size)
	if _, err := l.file.ReadAt(block, at); errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: too short", errDamaged)
	} else if err != nil {
		return fmt.Errorf("reading ledger: %w", err)
	}
	body, sum := block[:size-macSize], block[size-macSize:]
	if !bytes.Equal(sum, l.mac(at, body)) {
		return fmt.Errorf("%w: block at %d", errDamaged, at)
	}
	if macs != nil {
		*macs = append(*macs, sum...)
	}
	_, err := binary.Decode(body, binary.BigEndian, rec)
	return err
}

// mac covers the place too: a block is worth nothing elsewhere.
func (l *ledger) mac(at int64, body []byte) []byte {
	return seal.MAC(l.key, "latchkey/ledger/1", binary.BigEndian.AppendUint64(nil, uint64(at)), body)
}
