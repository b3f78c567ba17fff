package fleet

import (
	"errors"
	"time"

	"latchkey"
	"latchkey/internal/otp"
	"latchkey/internal/policy"
)

// ErrRaced: somebody changed what a merge or an issue builds on.
var ErrRaced = errors.New("the facts changed meanwhile")

// A Ledger is what the server knows of a machine and its users.
type Ledger struct {
	Machine    latchkey.Machine
	Generation uint64 // of the machine's own ledger, as reported last
	Reported   uint64 // events up to this seq are stored
	Hash       string // of the last of them
	Lost       uint64
	FloorsDue  bool      // it was approved since its last report
	Version    uint64    // of the settings that it was told last
	AheadAt    time.Time // when it showed that it was told more than that
	Policies   []latchkey.Policy
	Users      map[latchkey.UserID]*Member
}

// A Member is a user who was seen on the machine.
type Member struct {
	User       latchkey.User
	Deleted    bool
	DeletedAt  time.Time
	UID        *uint32
	EnrolledAt time.Time
	RemovedAt  time.Time // disenrolled
	WipedAt    time.Time // and carried out
	Anchor     time.Time
	Uses       int
	Fails      int       // reported since Anchor
	RetryAt    time.Time // what they earned him
	Version    uint64    // of the header that is current; 0: none was issued
	Digest     []byte    // of what that header was made from
	IssuedAt   time.Time
	Granted    Grant  // by that header
	Highest    uint64 // version of anything signed for the two
	Acked      uint64
	Tokens     []Token
}

// enrolled reports whether he may log in offline.
func (m Member) enrolled() bool { return !m.EnrolledAt.IsZero() && m.RemovedAt.IsZero() && !m.Deleted }

// wiping reports whether the machine has yet to wipe what it holds of him: of
// one who was disenrolled the codes, of one who was deleted also his status.
func (m Member) wiping() bool {
	if m.Deleted {
		return m.Version > 0 && (m.WipedAt.IsZero() || m.WipedAt.Before(m.DeletedAt))
	}
	return !m.EnrolledAt.IsZero() && !m.RemovedAt.IsZero() && m.WipedAt.IsZero()
}

// gone reports whether nothing is left to say about him.
func (m Member) gone() bool { return m.Deleted && !m.wiping() }

// A Token is one authenticator of a member, and who may hold its codes.
type Token struct {
	latchkey.Authenticator
	Removed bool
	Next    uint64
	// Lease: of an HOTP token one machine at a time may hold codes, until
	// LeaseUntil. From then on another may take it over.
	LeaseMachine latchkey.MachineID
	LeaseHost    string
	LeaseUntil   time.Time
	// First and Handed are the range of steps or counters that this machine was
	// ever handed: from First, of an app, and below Handed; 0 where it was handed
	// none.
	First  uint64
	Handed uint64
	// Base is where the counter was when codes were handed to this machine first
	// under the anchor BaseAnchor; Seen is past the last code that the server
	// itself has taken. Burnt is how often, under the same anchor, the machine
	// has used up codes of an app that were good at that moment.
	Base       uint64
	BaseAnchor time.Time
	Seen       uint64
	Burnt      int
	Codes      func() (*otp.Generator, error)
}

// leased reports whether machine m may be given codes of an HOTP token.
func (t Token) leased(m latchkey.MachineID, anchor, now time.Time) bool {
	return policy.Leased(t.LeaseMachine, t.LeaseUntil, m, anchor, now)
}

// issued is the first step or counter that the machine cannot know of: of an app
// because it is not yet time, of an HOTP token because neither was it handed the
// code nor has the counter got there. Whoever has the lease now, it knows what it
// was handed.
func (t Token) issued(now time.Time) uint64 {
	if t.Kind == latchkey.TOTP {
		return otp.Step(now, t.Period) + totpWindow + 1
	}
	return max(t.Next, t.Handed)
}

// bound is how far the machine may raise the floor.
func (t Token) bound(now time.Time) uint64 {
	return min(t.issued(now), max(t.Next, t.Handed))
}

// handed reports whether the machine was ever handed the code of a step.
func (t Token) handed(step uint64) bool { return t.First <= step && step < t.Handed }

// A Merger is what one report changes.
type Merger struct {
	Now      time.Time
	Machine  latchkey.MachineID
	OS       string
	Version  string // of the agent
	Proven   uint64 // the machine holds settings of this version
	Ahead    bool   // which the database knows nothing of
	From     Ledger // what was judged by
	Seq      uint64 // events up to here are stored from now on
	Hash     string // of the last of them
	Lost     uint64
	Gen      uint64
	Events   []Entry
	Raise    map[latchkey.AuthenticatorID]uint64    // next, where it is lower still
	Burns    map[latchkey.AuthenticatorID]time.Time // the anchor under which codes of the present are used up
	Claims   map[latchkey.AuthenticatorID]uint64    // past what is said to be used, and is not in Raise
	Members  []MemberChange
	Suspect  string // why the machine is quarantined; empty where it is not
	Incident []latchkey.Event
	Once     []Once
}

// A Once is an incident that is written once, however often the machine says
// what it is about.
type Once struct {
	Thing string
	Event latchkey.Event
}

// An Entry is one reported event.
type Entry struct {
	latchkey.Event
	Seq        uint64
	Credential latchkey.AuthenticatorID
	Used       *uint64
	First      bool // nobody had used it; it races where somebody has since
}

// A MemberChange is what a report changes for one user.
type MemberChange struct {
	User   latchkey.UserID
	Anchor time.Time // counts and failures belong to this anchor
	Uses   int
	Fails  int
	Retry  time.Time
	Acked  uint64
	Synced bool // the machine holds the current header
	Wiped  bool
}

// An Issue makes a header current. It races where the machine is not in the state
// that it was made for, or the header is active and its user is not.
type Issue struct {
	Now     time.Time
	Machine latchkey.MachineID
	User    latchkey.UserID
	From    uint64 // version of the header that it takes the place of
	Proven  uint64
	Digest  []byte
	Active  bool // its user is in order
	// Withdraws: the machine is quarantined, and the header gives nothing. It
	// races where the machine is not, and any other where it is.
	Withdraws bool
	Granted   Grant
	Gives     latchkey.Holding // for the reports
	Leases    []Lease
	Books     []Book
	Event     *latchkey.Event // where codes are issued
}

// A Lease lets the machine hold codes of an HOTP token below To until Until. It
// takes the place of the lease that was judged by.
type Lease struct {
	Token     latchkey.AuthenticatorID
	To        uint64
	Until     time.Time
	From      latchkey.MachineID
	FromUntil time.Time
	Base      uint64          // where the counter is, and
	Anchor    time.Time       // what allowance the codes belong to
	Event     *latchkey.Event // where it moves
}

// A Book lets the machine hold the codes of an app from First to before To.
type Book struct {
	Token     latchkey.AuthenticatorID
	First, To uint64
	Anchor    time.Time // the allowance that they belong to
}

// A Release ends a lease that the machine gave up.
type Release struct {
	Now     time.Time
	Token   latchkey.AuthenticatorID
	Machine latchkey.MachineID
	Until   time.Time // of the lease that was judged by
	Event   latchkey.Event
}
