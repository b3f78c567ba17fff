package policy

import (
	"fmt"
	"slices"

	"latchkey"
)

// softTrust is how many hours of trust pass without a remark.
const softTrust = 12

// Lint says what is allowed but deserves a second look: whatever lets somebody
// in without a factor, or nobody in without the server. It judges no error;
// see Validate. The result is never nil.
func Lint(p latchkey.Policy) []string {
	out := []string{}
	say := func(when bool, format string, args ...any) {
		if when {
			out = append(out, fmt.Sprintf(format, args...))
		}
	}
	say(p.Unreachable == latchkey.Skip, "unreachable=skip: whoever unplugs the network enters without a factor, unless an offline factor is enrolled")
	say(p.NotEnrolled == latchkey.Skip, "not_enrolled=skip: users without an authenticator enter without a factor")
	say(p.LogOnly != nil, "log_only_until is set: until then nobody is asked, logons are only recorded")
	say(p.TrustHours != nil && *p.TrustHours > softTrust, "trust_hours is above %d: a stolen unlocked session stays trusted for long", softTrust)
	say(p.Name == latchkey.DefaultPolicy && !p.Users.All, "the policy default does not cover everybody: users without a policy are not asked at all")
	lintScenarios(p, say)
	lintOffline(p, say)
	return out
}

func lintScenarios(p latchkey.Policy, say func(bool, string, ...any)) {
	for _, s := range latchkey.Scenarios {
		r := p.Rules(s)
		say(!r.Ask, "scenarios.%s.ask=false: %s logons enter without a factor", s, s)
		say(r.GraceMinutes > 60, "scenarios.%s.grace_minutes is above 60", s)
	}
}

func lintOffline(p latchkey.Policy, say func(bool, string, ...any)) {
	o := p.Offline
	if !o.Enabled {
		say(p.Unreachable != latchkey.Skip, "offline.enabled=false: while the server is unreachable nobody enters")
		return
	}
	soft := latchkey.Software.MaxOfflineDays()
	soft90 := p.MinKeyClass.Rank() < latchkey.TPM.Rank() && o.Days != nil && *o.Days > soft
	say(soft90, "offline.days is above %d: machines of key class S or V are held to %d days", soft, soft)
	say(o.Logins == nil, "offline.logins is null: only the day limit bounds offline use")
	hasHOTP := slices.Contains(p.Factors.Offline, latchkey.HOTP)
	say(hasHOTP && p.MinKeyClass == latchkey.Software, "HOTP offline on machines of key class S: a disk copied back can repeat codes until the next contact, which raises an alarm")
	onlyTOTP := len(p.Factors.Offline) == 1 && p.Factors.Offline[0] == latchkey.TOTP
	say(onlyTOTP, "factors.offline lists only totp: a machine whose clock was set back has no offline way in")
}
