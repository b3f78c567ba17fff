// Package fleet keeps the machines: how they join, what they are told, what
// they report, and what they may check alone.
//
// A machine that joined may still lie, with a local root behind it. So fleet
// refuses to believe more than was issued: reports are clamped to the server's
// time and to the codes that were handed out, failures slow one user down on
// one machine and nowhere else, and whoever reports the impossible is issued
// nothing until an administrator approves of him again.
package fleet

import (
	"context"
	"crypto/ed25519"
	"io"
	"time"

	"latchkey"
	"latchkey/internal/seal"
)

// MinAgent is the lowest agent version that may decide offline.
const MinAgent = "0"

// Keys are what the server proves itself with.
type Keys struct {
	Deployment string
	Epoch      uint64
	Signer     ed25519.PrivateKey
	// Ring returns the signing keys as they are now; nil: Signer is the only one.
	Ring func() seal.Ring
}

func (k Keys) ring() (seal.Ring, error) {
	if k.Ring == nil {
		return seal.OneKey(k.Signer, k.Epoch)
	}
	return k.Ring(), nil
}

// A Fleet is the machines of a deployment.
type Fleet struct {
	store Store
	keys  Keys
	door  Door
	now   func() time.Time
	rand  io.Reader

	reports   latchkey.Pace // that name no code, or none that is still good
	codes     latchkey.Pace // that name such a code, as the first
	incidents latchkey.Pace
}

// How many lines an hour one machine can write into the audit trail by what it
// reports: a full ring of events, as many that name codes which nobody has used
// yet, and more incidents than anybody reads, about itself and about each of its
// users. The first about a user is written whatever
// else was: root on a stolen machine must not be able to drown it.
const (
	MaxReported         = 5000
	MaxIncidents        = 100
	MaxMachineIncidents = 300
)

// A Door is how machines reach the server: what enrollment tokens carry.
type Door struct {
	URLs []string
	Pin  []byte // SHA-256 of the CA's SubjectPublicKeyInfo
}

// Store is the part of the database that fleet needs. Methods that change
// something write the event in the same transaction.
type Store interface {
	// Machines lists every machine that is not removed by name: of a page, whose
	// key is folded name and id, its rows and one more.
	Machines(ctx context.Context, p latchkey.Page) ([]latchkey.Machine, error)
	// MachineNamed and Machine return NotFound where there is none.
	MachineNamed(ctx context.Context, name string) (latchkey.Machine, error)
	Machine(ctx context.Context, id latchkey.MachineID) (latchkey.Machine, error)
	// ChangeMachine writes the settings of a machine.
	ChangeMachine(ctx context.Context, id latchkey.MachineID, s latchkey.MachineSettings, e latchkey.Event) error
	// ApproveMachine makes a pending or quarantined machine active, removes
	// whichever bore its name before, and raises the counters to what it reported
	// while nobody believed it. Conflict where it is neither.
	ApproveMachine(ctx context.Context, id latchkey.MachineID, e latchkey.Event) error
	// RemoveMachine ends a machine for good. Conflict where it is removed.
	RemoveMachine(ctx context.Context, id latchkey.MachineID, e latchkey.Event) error

	CreateMachineToken(ctx context.Context, t Ticket, e latchkey.Event) error
	// MachineTokens returns the tokens that are not past their time, the oldest
	// first; without their hashes.
	MachineTokens(ctx context.Context) ([]Ticket, error)
	// RevokeMachineToken ends a token. NotFound where there is none.
	RevokeMachineToken(ctx context.Context, id string, e latchkey.Event) error
	// Join takes a use of the token with the hash and stores the machine: as
	// pending where its name is taken. The same key again is the same machine
	// and takes no use. Errors: Unauthorized, Expired, Exhausted, Conflict, and
	// Forbidden where the token is for other names.
	Join(ctx context.Context, hash []byte, m latchkey.Machine, e latchkey.Event) (latchkey.Machine, error)
	// Told gives the settings of a machine their next version. Every one that is
	// signed is kept: who holds a later one was told it by a database that is lost.
	Told(ctx context.Context, id latchkey.MachineID) (version uint64, err error)

	// Ledger gathers what the server knows of a machine's users: all of them,
	// or one.
	Ledger(ctx context.Context, id latchkey.MachineID, only latchkey.UserID) (Ledger, error)
	// Merge writes what a report changes, all of it or nothing. It returns the
	// version of the machine's settings. ErrRaced: gather and judge anew.
	Merge(ctx context.Context, m Merger) (version uint64, err error)
	// UsedBy returns the login that a step or counter of a credential was used for
	// before: l where it was one of several, none where there is none.
	UsedBy(ctx context.Context, c latchkey.AuthenticatorID, n uint64, l latchkey.LogonID) (Use, error)
	// ToldOf reports whether an incident about a thing that the machine holds is
	// written already.
	ToldOf(ctx context.Context, id latchkey.MachineID, thing string) (bool, error)
	// UserNamed returns the user with a name or id; NotFound where there is none.
	UserNamed(ctx context.Context, name string) (latchkey.User, error)
	// Issue stores that a header is current from now on, takes the leases that
	// it needs, and returns its version. ErrRaced: gather anew.
	Issue(ctx context.Context, i Issue) (version uint64, err error)
	// ReleaseLease ends a lease. ErrRaced: it is no longer the one that was read.
	ReleaseLease(ctx context.Context, r Release) error
}

// New returns the machines kept in s.
func New(s Store, k Keys, d Door, now func() time.Time, rand io.Reader) *Fleet {
	return &Fleet{
		store: s, keys: k, door: d, now: now, rand: rand,
		reports:   latchkey.Pace{PerHour: MaxReported, PerMachine: MaxReported, What: "reported events"},
		codes:     latchkey.Pace{PerHour: MaxReported, PerMachine: MaxReported, What: "reported codes"},
		incidents: latchkey.Pace{PerHour: MaxIncidents, PerMachine: MaxMachineIncidents, What: "incidents"},
	}
}
