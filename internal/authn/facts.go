package authn

import (
	"time"

	"latchkey"
	"latchkey/internal/policy"
	"latchkey/internal/verify"
)

// Facts is what the store knows that bears on a logon.
type Facts struct {
	Machine  latchkey.Machine
	Owner    latchkey.UserID // who used the machine first
	Policies []latchkey.Policy
	// Named is the user of the built-in directory with the name that was typed:
	// the one who lives, else the one who was deleted last.
	Named *Candidate
	// Pinned is the user whom the uid was pinned to on this machine.
	Pinned *Candidate
}

// A Candidate is somebody whom the logon could mean.
type Candidate struct {
	User    latchkey.User
	Deleted bool
	Here    Here
	Held    []verify.Held
}

// Here is what is known of a user on the machine.
type Here struct {
	Seen       bool
	UID        *uint32
	EnrolledAt time.Time
	RemovedAt  time.Time // disenrolled
	WipedAt    time.Time // and carried out
	RetryAt    time.Time // failures that the machine reported slow him down here
}

// enrollable reports whether a success may enroll him here: not while he is
// enrolled, and not before the machine has wiped what it held before.
func (h Here) enrollable() bool {
	return h.EnrolledAt.IsZero() || !h.RemovedAt.IsZero() && !h.WipedAt.IsZero()
}

// identify says whom a logon means. The name that is typed is no identity: the
// first success on a machine pins its uid to the user, and from then on the two
// must agree. Without a uid the name alone counts.
func identify(f Facts, l latchkey.Logon) (who *Candidate, ambiguous bool) {
	if l.Local && !f.Machine.Settings.MatchLocal {
		return nil, false
	}
	named, pinned := f.Named, f.Pinned
	if l.UID == nil {
		return named, false
	}
	if pinned != nil && pinned.Deleted && named != nil && !named.Deleted {
		pinned = nil // a deleted user's uid is free for the next one
	}
	switch {
	case named == nil:
		return pinned, false // renamed on the machine, or nobody
	case pinned != nil && pinned.User.ID != named.User.ID:
		return nil, true // the uid is somebody else's
	case pinned == nil && named.Here.UID != nil:
		return nil, true // the name came with another uid before
	}
	return named, false
}

// vouched reports whether the name is more than the word of whoever asks. Root's
// programs have looked it up. Any other program may ask for its own user alone,
// and only where the machine's own file has the name under his uid, or the uid
// is his already: else anybody could use up the guesses of somebody whom the
// machine has not seen yet, or tie his own uid to that user.
func (h hearing) vouched() bool {
	l := h.logon
	if !h.own() {
		return true
	}
	if l.UID == nil || *l.UID != l.Caller {
		return false
	}
	tied := h.who.Here.UID
	return l.Local || tied != nil && *tied == l.Caller
}

// nobody is the hearing of somebody who is not the one he names.
func (h hearing) nobody() hearing {
	h.who, h.policy, h.ambiguous = nil, nil, true
	h.decision = policy.Decide(h.policyFacts())
	return h
}

// A Settlement is everything that one turn changes.
type Settlement struct {
	Now     time.Time
	Answer  []byte // names the answer; nil where none was given
	Result  Result
	Event   latchkey.Event  // none is written where it has no kind
	LeftOut *latchkey.Event // says how many were not
	Used    *Use
	Moves   []Move
	// Apart: one of the user's own programs asked. Failures are counted for such
	// programs on this machine, and for nobody else.
	Apart   bool
	Machine latchkey.MachineID
	User    latchkey.UserID // empty where unknown
	// Enters: he was seen on the machine, and mostly let in. What else is set
	// below needs it. It races where he was disabled or deleted, or the machine
	// removed, since the facts were read.
	Enters bool
	Pin    *uint32   // the uid becomes his on this machine, if a deleted user's at most
	Anchor time.Time // an online MFA: opens a new allowance; zero leaves it
	Enroll bool      // he may log in here offline from now on
	Own    bool      // the machine becomes his where it is nobody's
	// Anew: what the machine holds of him must be issued under a new version.
	Anew bool
}

// A Use is a step or counter that was consumed.
type Use struct {
	Credential latchkey.AuthenticatorID
	Number     uint64
}

// A Move changes the state of a credential from what it was read as.
type Move struct {
	Credential latchkey.AuthenticatorID
	From, To   latchkey.CredentialState
	Used       bool // it was answered with
}
