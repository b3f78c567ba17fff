package logon

import (
	"time"

	"latchkey"
)

// Sentence is what a person reads for a reason: what happened and what to do
// next; "" where there is nothing to say: somebody who is let in as always is
// told nothing, or every sudo would have a line more. It is the one place where
// reasons become words. The front-end puts the reason's code behind it, so that
// a help desk can be told it.
func Sentence(v latchkey.Verdict, now time.Time) string {
	text := sentence(v, now)
	if text == "" && !v.Outcome.Enters() {
		text = "Something went wrong on this machine. Ask the help desk and tell them the code."
	}
	return text
}

var sentences = map[latchkey.Reason]string{
	latchkey.SkippedUnreachable:  "The server cannot be reached; your policy lets you in without confirmation.",
	latchkey.SkippedNotEnrolled:  "You have no authenticator yet; your policy lets you in without one. Ask the help desk for one.",
	latchkey.LogOnly:             "Confirmation is being tried out and was not asked.",
	latchkey.CodeAlreadyUsed:     "This code was already used. Use the next one.",
	latchkey.LockedOut:           "Too many wrong codes: this login is locked. Connect to the network and sign in once, or ask the help desk.",
	latchkey.NotEnrolled:         "You have no authenticator that may be used here. Ask the help desk for one.",
	latchkey.NotEnrolledHere:     "You cannot log in offline on this machine yet. Connect to the network and sign in once.",
	latchkey.NoPolicy:            "This machine asks everyone, and no policy covers this account. Ask the help desk.",
	latchkey.AccountDisabled:     "This account is disabled. Ask the help desk.",
	latchkey.MachineRemoved:      "This machine was removed from the server. Ask the help desk.",
	latchkey.UnknownIdentity:     "This account is not known here. Check the name, or ask the help desk.",
	latchkey.OfflineLimitReached: "Offline logins are used up. Connect to the network and sign in once.",
	latchkey.ClockBehind:         "The clock of this machine is behind, so codes of an app cannot be checked. Set the clock or connect to the network, or use another authenticator.",
	latchkey.ConditionFailed:     "Logging in is not allowed here or now. Ask the help desk.",
	latchkey.ServerUnreachable:   "The server cannot be reached, and offline logins are switched off. Connect to the network and try again.",
	latchkey.StateCorrupt:        "This machine cannot read its own records. Connect to the network and sign in once.",
	latchkey.Cancelled:           "Cancelled.",
}

// DaysOver is what a person reads where the days ended and not the logins.
const DaysOver = "The days for offline logins are over on this machine. Connect to the network and sign in once."

// What a person reads about a hardware token whose codes on the machine end:
// every press from here on leads it further away.
const (
	TokenAtItsEnd = "That is the last code of your hardware token that this machine holds, and it comes too early. Do not press it again. Connect to the network and sign in once."
	NotTheToken   = "That code is not right. Type the code of your authenticator app: this machine holds no more codes of your hardware token, do not press it."
	PressNoMore   = " Do not press your hardware token again before that."
	NothingLeft   = "Verified offline. No offline login is left: connect to the network before the next one."
	TokenUsedUp   = "This machine holds no more codes of your hardware token. Do not press it again. Connect to the network and sign in once."
	LastTokenCode = "Verified offline. That was the last code of your hardware token that this machine holds: do not press it again before you have connected to the network and signed in once."
)

// MachineWaits is said in place of UnknownIdentity where the machine itself is
// not known yet: the name may be right.
const MachineWaits = "This machine waits for an administrator's approval and knows no account until then. Ask the help desk to approve it."

func sentence(v latchkey.Verdict, now time.Time) string {
	switch v.Reason {
	case latchkey.WrongCode:
		return "That code is not right. " + again(v)
	case latchkey.Throttled:
		return "Too many wrong codes. Try again in " + waitWords(v.Retry.Sub(now)) + "."
	case latchkey.VerifiedOffline:
		return "Verified offline." + leftWords(v.Left)
	}
	return sentences[v.Reason]
}

// again says how to try again after a wrong code. An app shows another code by
// itself; each press of a token leads it further away from who checks its codes.
func again(v latchkey.Verdict) string {
	switch {
	case v.Asked == latchkey.TOTP:
		return "Wait for the next code and try again."
	case v.Asked == latchkey.HOTP && v.Offline:
		return "Try the code that your hardware token shows now. If it is refused too, press no more: connect to the network and sign in once."
	case v.Asked == latchkey.HOTP:
		return "Try the code that your hardware token shows now. If it is refused too, press no more: ask the help desk."
	}
	return "Try again."
}

// leftWords says what is left after an offline login.
func leftWords(l *latchkey.Left) string {
	if l == nil || !l.Counted {
		return ""
	}
	if l.Logins == 0 {
		return " That was the last offline login: connect to the network before the next one."
	}
	return " " + plural(l.Logins, "offline login") + " left."
}

func waitWords(d time.Duration) string {
	s := int((d + time.Second - 1) / time.Second)
	if s <= 1 {
		return "a second"
	}
	if s < 120 {
		return plural(s, "second")
	}
	return plural((s+59)/60, "minute")
}
