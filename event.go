package latchkey

import "time"

// An EventKind says what happened.
type EventKind string

// The kinds of audit event.
const (
	LogonEvent           EventKind = "logon"
	LogonStep            EventKind = "logon.step" // one of several factors was proven
	UserAdded            EventKind = "user.added"
	UserDisabled         EventKind = "user.disabled"
	UserEnabled          EventKind = "user.enabled"
	UserDeleted          EventKind = "user.deleted"
	UserUnlocked         EventKind = "user.unlocked"
	UserChanged          EventKind = "user.changed" // groups
	AuthenticatorAdded   EventKind = "authenticator.added"
	AuthenticatorRemoved EventKind = "authenticator.removed"
	TokenResynced        EventKind = "authenticator.resynced"
	LeaseMoved           EventKind = "authenticator.lease_moved"    // Detail["from"] lost it
	LeaseReleased        EventKind = "authenticator.lease_released" // the machine gave it up
	EnrollmentAdded      EventKind = "enrollment.added"
	EnrollmentRemoved    EventKind = "enrollment.removed"
	PolicySet            EventKind = "policy.set"
	PolicyDeleted        EventKind = "policy.deleted"
	MachineTokenRevoked  EventKind = "machine.token_revoked"
	MachineTokenCreated  EventKind = "machine.token_created"
	MachineEnrolled      EventKind = "machine.enrolled"
	MachineApproved      EventKind = "machine.approved"
	MachineChanged       EventKind = "machine.changed"
	MachineRemovedEvent  EventKind = "machine.removed"
	MachineQuarantined   EventKind = "machine.quarantined"
	KeyAnnounced         EventKind = "key.announced"
	KeySwitched          EventKind = "key.switched"
	KeyRetired           EventKind = "key.retired"
	MasterKeyChanged     EventKind = "key.master_changed"
	AdminCreated         EventKind = "admin.created"
	AdminReset           EventKind = "admin.reset"
	Incident             EventKind = "incident"        // Reason in Detail["incident"]
	BundleIssued         EventKind = "bundle.issued"   //
	EventsLeftOut        EventKind = "events.left_out" // of one machine in an hour, Detail["left_out"] of Detail["what"]
	ReportsLost          EventKind = "reports.lost"    // a full ring overwrote Detail["lost"] events
	ServerStarted        EventKind = "server.started"  //
	AuthorizationRefused EventKind = "authorization.refused"
)

// An Event is one line of the audit trail. It is written in the transaction
// of the change that it tells of.
type Event struct {
	ID       string
	Time     time.Time // when it happened, by the server's clock where it knows
	Kind     EventKind
	Actor    string // administrator, "machine:NAME" or "" for the user himself
	User     UserID
	UserName string
	Machine  MachineID
	Host     string // the machine's name
	Outcome  Outcome
	Reason   Reason
	Offline  bool
	Scenario Scenario
	Logon    LogonID
	Detail   map[string]string // never secrets
}
