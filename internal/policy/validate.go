package policy

import (
	"slices"
	"strings"

	"latchkey"
)

// The hard maxima of a policy. They bound what an administrator's typing error
// can open; null, where a setting knows it, means "no limit of its own".
const (
	MaxDays         = 90
	MaxLogins       = 1000
	MaxWindow       = 1000
	MaxRequired     = 3
	MaxTrustHours   = 720  // 30 days
	MaxGraceMinutes = 1440 // one day
	MaxPriority     = 1_000_000
	MaxSubjects     = 1000
)

// Validate reports the first setting of p that cannot be meant, by its key in
// the policy document; nil where there is none. It never repeats a value.
func Validate(p latchkey.Policy) error {
	for _, check := range []func(latchkey.Policy) error{head, factors, offline, hotp, fallbacks, scenarios} {
		if err := check(p); err != nil {
			return err
		}
	}
	return nil
}

func bad(format string, args ...any) error { return latchkey.Errorf(latchkey.Invalid, format, args...) }

// within names the range of a number. Zero and negatives are outside of every
// range that could read them as "unlimited".
func within(key string, n, least, most int) error {
	if n < least || n > most {
		return bad("%s must be %d to %d", key, least, most)
	}
	return nil
}

func head(p latchkey.Policy) error {
	if err := latchkey.CheckName(p.Name); err != nil {
		return bad("name: %v", err)
	}
	if strings.ContainsAny(p.Name, "/\\") {
		return bad("name: a policy's name holds no slash")
	}
	if err := within("priority", p.Priority, 0, MaxPriority); err != nil {
		return err
	}
	if p.Users.All {
		return nil
	}
	return subjects(p.Users.Names)
}

func subjects(names []string) error {
	if len(names) > MaxSubjects {
		return bad("users: more than %d names; use a group", MaxSubjects)
	}
	seen := map[string]bool{}
	for i, n := range names {
		if err := latchkey.CheckName(strings.TrimPrefix(n, "group:")); err != nil {
			return bad("users: item %d: %v", i, err)
		}
		if f := latchkey.FoldName(n); seen[f] {
			return bad("users: item %d occurs twice", i)
		} else {
			seen[f] = true
		}
	}
	return nil
}

func factors(p latchkey.Policy) error {
	if err := within("factors.required", p.Factors.Required, 1, MaxRequired); err != nil {
		return err
	}
	if err := kinds("factors.online", p.Factors.Online); err != nil {
		return err
	}
	if err := kinds("factors.offline", p.Factors.Offline); err != nil {
		return err
	}
	if len(p.Factors.Online) < p.Factors.Required {
		return bad("factors.required is more than factors.online lists: nobody could log in")
	}
	if p.Offline.Enabled && len(p.Factors.Offline) < p.Factors.Required {
		return bad("factors.required is more than factors.offline lists: list more kinds, or set offline.enabled to false")
	}
	return nil
}

// kinds: every kind that a policy may list also works offline.
func kinds(key string, list []latchkey.Kind) error {
	for i, k := range list {
		if !k.Listed() {
			return bad("%s: item %d is not one of fido2, totp, hotp, recovery", key, i)
		}
		if slices.Contains(list[:i], k) {
			return bad("%s lists %s twice", key, k)
		}
	}
	return nil
}

func offline(p latchkey.Policy) error {
	o := p.Offline
	if o.Days != nil {
		if err := within("offline.days", *o.Days, 1, MaxDays); err != nil {
			return err
		}
	}
	if o.Logins != nil {
		if err := within("offline.logins", *o.Logins, 1, MaxLogins); err != nil {
			return err
		}
	}
	if err := oneOf("offline.count", o.Count, latchkey.CountSuccesses, latchkey.CountAll); err != nil {
		return err
	}
	if err := oneOf("offline.enroll", o.Enroll, "auto", "ask", "mandatory"); err != nil {
		return err
	}
	if err := oneOf("offline.enroll_on", o.EnrollOn, "any", "own"); err != nil {
		return err
	}
	return spendOn(o.SpendOn)
}

func spendOn(list []latchkey.Scenario) error {
	for i, s := range list {
		if !slices.Contains(latchkey.Scenarios, s) {
			return bad("offline.spend_on: item %d is not one of %s", i, scenarioList())
		}
		if slices.Contains(list[:i], s) {
			return bad("offline.spend_on lists %s twice", s)
		}
	}
	return nil
}

func hotp(p latchkey.Policy) error {
	h := p.HOTP
	if err := within("hotp.window", h.Window, 1, MaxWindow); err != nil {
		return err
	}
	if err := within("hotp.buffer", h.Buffer, 0, h.Window-1); err != nil {
		return err
	}
	if h.Quota == nil {
		return nil
	}
	if *h.Quota < 1 || *h.Quota > h.Window-h.Buffer {
		most := h.Window - h.Buffer
		return latchkey.Errorf(latchkey.Invalid, "hotp.quota must be 1 to %d, which is hotp.window minus hotp.buffer: codes handed to a machine must stay findable by the server", most).
			WithHint("set hotp.quota to at most %d, too, or to null, which is as much as fits", most)
	}
	return nil
}

func fallbacks(p latchkey.Policy) error {
	if err := oneOf("not_enrolled", p.NotEnrolled, latchkey.Deny, latchkey.EnrollThen, latchkey.Skip); err != nil {
		return err
	}
	if err := oneOf("unreachable", p.Unreachable, latchkey.Deny, latchkey.Skip); err != nil {
		return err
	}
	if p.TrustHours != nil {
		if err := within("trust_hours", *p.TrustHours, 1, MaxTrustHours); err != nil {
			return err
		}
	}
	return oneOf("min_key_class", p.MinKeyClass, latchkey.Software, latchkey.Virtual, latchkey.TPM)
}

func scenarios(p latchkey.Policy) error {
	for s, r := range p.Scenarios {
		if !slices.Contains(latchkey.Scenarios, s) {
			return bad("scenarios: the scenarios are %s", scenarioList())
		}
		if err := within("scenarios."+string(s)+".grace_minutes", r.GraceMinutes, 0, MaxGraceMinutes); err != nil {
			return err
		}
		if s == latchkey.RemoteLogon && r.GraceMinutes > 0 {
			return bad("scenarios.remote.grace_minutes must be 0: there is no grace for remote logons")
		}
	}
	return nil
}

func scenarioList() string {
	var names []string
	for _, s := range latchkey.Scenarios {
		names = append(names, string(s))
	}
	return strings.Join(names, ", ")
}

func oneOf[T ~string](key string, v T, allowed ...T) error {
	if slices.Contains(allowed, v) {
		return nil
	}
	var names []string
	for _, a := range allowed {
		names = append(names, string(a))
	}
	return bad("%s must be one of %s", key, strings.Join(names, ", "))
}
