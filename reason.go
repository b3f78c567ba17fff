package latchkey

import "slices"

// A Reason says why a logon ended as it did. The list is closed: scripts and
// reports rely on it.
type Reason string

// The reasons of logons that were let in.
const (
	VerifiedOnline     Reason = "verified_online"
	VerifiedOffline    Reason = "verified_offline"
	Trusted            Reason = "trusted"
	Grace              Reason = "grace"
	MachineExempt      Reason = "machine_exempt"
	ScenarioOff        Reason = "scenario_off"
	NotCovered         Reason = "not_covered"
	SkippedUnreachable Reason = "skipped_unreachable"
	SkippedNotEnrolled Reason = "skipped_not_enrolled"
	LogOnly            Reason = "log_only"
)

// The reasons of logons that were not.
const (
	WrongCode           Reason = "wrong_code"
	CodeAlreadyUsed     Reason = "code_already_used"
	Throttled           Reason = "throttled"
	LockedOut           Reason = "locked"
	NotEnrolled         Reason = "not_enrolled"
	NotEnrolledHere     Reason = "not_enrolled_here"
	NoPolicy            Reason = "no_policy"
	AccountDisabled     Reason = "account_disabled"
	MachineRemoved      Reason = "machine_removed"
	UnknownIdentity     Reason = "unknown_identity"
	OfflineLimitReached Reason = "offline_limit_reached"
	ClockBehind         Reason = "clock_behind"
	ConditionFailed     Reason = "condition_failed"
	ServerUnreachable   Reason = "server_unreachable"
	StateCorrupt        Reason = "state_corrupt"
	Cancelled           Reason = "cancelled"
	InternalError       Reason = "internal"
)

// LetIn lists the reasons that may accompany an entry.
var LetIn = []Reason{
	VerifiedOnline, VerifiedOffline, Trusted, Grace, MachineExempt, ScenarioOff,
	NotCovered, SkippedUnreachable, SkippedNotEnrolled, LogOnly,
}

// Refusals lists the reasons that may accompany a denial.
var Refusals = []Reason{
	WrongCode, CodeAlreadyUsed, Throttled, LockedOut, NotEnrolled, NotEnrolledHere,
	NoPolicy, AccountDisabled, MachineRemoved, UnknownIdentity, OfflineLimitReached,
	ClockBehind, ConditionFailed, ServerUnreachable, StateCorrupt, Cancelled, InternalError,
}

// Known reports whether r is in the closed list.
func (r Reason) Known() bool {
	return slices.Contains(LetIn, r) || slices.Contains(Refusals, r)
}
