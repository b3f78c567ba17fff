package vault

import (
	"bytes"
	"crypto/sha256"
	"time"

	"latchkey"
)

// The records of the ledger. Their Go definition is their layout: fields in
// this order, big-endian, without padding (encoding/binary). docs/formats has
// them in prose.

// Sizes of fixed-width texts in bytes; shorter ones end in zeros.
type (
	label [64]byte // ids and names
	word  [24]byte // members of closed lists: scenarios, outcomes, reasons, kinds
	tag16 [16]byte
	tag8  [8]byte
)

func labelOf(s string) (l label) { copy(l[:], s); return l }
func wordOf(s string) (w word)   { copy(w[:], s); return w }
func (l label) String() string   { return string(bytes.TrimRight(l[:], "\x00")) }
func (w word) String() string    { return string(bytes.TrimRight(w[:], "\x00")) }
func fits(s string) bool         { return s != "" && len(s) <= len(label{}) }
func hashed8(s string) (t tag8)  { sum := sha256.Sum256([]byte(s)); copy(t[:], sum[:]); return t }

// A head is the state of the machine, and says which copies of the user slots
// belong to it.
type head struct {
	Generation uint64 // grows with every write; never used twice
	NV         uint64 // value of a TPM's counter; 0 without one
	Used       uint32 // user slots that were ever used
	Second     [slotBits]byte
	Digest     [32]byte // MAC over the MACs of the current copies

	Corrupt uint8 // 1: an earlier ledger was lost; no offline login until the next contact
	// LostAt: online logins up to then (Unix ms) count no more, because what
	// was used of their allowance is not known. Forever until the next contact.
	LostAt int64

	Removed  uint8 // 1: a signed verdict said that the machine is removed
	RemovedV uint64
	Settings object
	Keys     object
	Clock    clockState
	Ring     ring
}

// forever is a LostAt without an end.
const forever = 1<<63 - 1

// An object is what was seen of a signed object.
type object struct {
	Version uint64
	Sum     [32]byte // SHA-256 of the envelope
}

// A ring is where the events stand.
type ring struct {
	Next  uint64 // number of the next event, from 1
	Acked uint64 // events up to this one are with the server
	Lost  uint64 // events overwritten before they were
	Last  [32]byte
}

// The states of a user slot. The zero value is a slot without a user.
const (
	slotFree   = 0
	slotHeld   = 1
	slotTomb   = 2 // tombstone: to be wiped and reported
	slotBuried = 3 // tombstone that the server knows is carried out
)

// Sizes of the lists in a user slot.
const (
	maxCredentials = 8
	maxGraces      = 4
	maxNames       = 3
)

// A record is what the machine keeps of one user.
type record struct {
	// Generation is that of the write: a copy never belongs to a head of an
	// earlier write that a crash cut off, however equal the two are.
	Generation uint64

	User    label
	State   uint8
	Names   [maxNames]tag16 // MACs of the folded names; zero for none
	Version uint64          // highest version of the header that was seen
	Anchor  int64           // last online MFA here (Unix ms): the allowance counts from it
	Uses    uint32          // drawn from the allowance since then
	Pinned  uint8           // 1: UID is the user's
	UID     uint32
	Denial  denial
	Trust   ticket
	Graces  [maxGraces]grace
	Held    [maxCredentials]held
}

// A denial lasts until a higher version clears it.
type denial struct {
	Reason  word
	Until   int64 // Unix ms; 0: without end
	Version uint64
}

// A ticket ends with the boot that it was given in.
type ticket struct {
	Until int64
	Boot  tag16
}

// A grace spares the next question in one session.
type grace struct {
	Scenario word
	Session  tag8
	Ticket   ticket
}

// held is the state of one credential.
type held struct {
	ID     label
	Next   uint64 // lowest step or counter that was never used
	Issued uint64 // Next as the server wrote it last
	// Root counts wrong answers given through root's programs; Own those of the
	// user's own, which must not lock the door that root guards.
	Root, Own fails
	// Owner may use the step or counter Reserved once more: it was sent to the
	// server in that logon, and no answer came.
	Owner    tag8
	Reserved uint64
}

type fails struct {
	Fails, Debt uint32
	RetryAt     int64 // Unix ms; 0: now
}

// An event is one line of the ring.
type event struct {
	Seq        uint64
	Prev       [32]byte
	At         int64
	Logon      label
	User       label
	Typed      label
	Scenario   word
	Outcome    word
	Reason     word
	Kind       word
	Credential label
	Used       uint64
}

func (r *record) find(id latchkey.AuthenticatorID) *held {
	for i := range r.Held {
		if r.Held[i].ID == labelOf(string(id)) && r.Held[i].ID != (label{}) {
			return &r.Held[i]
		}
	}
	return nil
}

// hold returns the place of a credential, a new one where it has none; nil
// where all are taken.
func (r *record) hold(id latchkey.AuthenticatorID) *held {
	if h := r.find(id); h != nil {
		return h
	}
	if !fits(string(id)) {
		return nil
	}
	for i := range r.Held {
		if r.Held[i].ID == (label{}) {
			r.Held[i].ID = labelOf(string(id))
			return &r.Held[i]
		}
	}
	return nil
}

// holds reports whether a lasting denial holds at now.
func (d denial) holds(now time.Time) bool {
	return d.Reason != (word{}) && (d.Until == 0 || now.UnixMilli() < d.Until)
}

// clearedBy reports whether a header of the version ends the denial. A lock
// ends by its time or an online MFA: the header that follows it at once only
// says that the account as such is in order.
func (d denial) clearedBy(version uint64) bool {
	return version > d.Version && d.Reason != wordOf(string(latchkey.LockedOut))
}

func (t ticket) valid(now time.Time, boot tag16) bool {
	return t.Boot == boot && now.UnixMilli() < t.Until
}
