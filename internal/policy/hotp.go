package policy

import (
	"fmt"

	"latchkey"
)

// single is how far past the codes that machines were handed a token may be.
const single = 10

// LookAhead is how many counters ahead of next the server searches: what the
// policy says, and as far as machines were handed codes, which they may have
// used, and ten more. handed is the first counter that none was handed.
func LookAhead(h latchkey.HOTPRules, next, handed uint64) int {
	ahead := max(0, h.Window)
	if handed > next {
		ahead = max(ahead, int(min(handed-next, MaxWindow))+single)
	}
	return min(ahead, MaxWindow)
}

// A TokenPlan is a size for the book of a hardware token, and the settings of a
// policy that it needs.
type TokenPlan struct {
	Codes    int  `json:"codes"`  // logins a day × days, and the variance
	Window   int  `json:"window"` // hotp.window
	Buffer   int  `json:"buffer"` // hotp.buffer
	Quota    int  `json:"quota"`  // hotp.quota
	TooLarge bool `json:"too_large"`
	// Where it is too large: how long, or how many logins a day, would fit.
	MostDays   int `json:"most_days,omitempty"`
	MostLogins int `json:"most_logins_per_day,omitempty"`
}

// PlanToken says how many codes a machine needs for days without the server:
// (logins a day × days) and a variance in percent on top, rounded up. TooLarge:
// no policy may hand out as many; fewer days or another kind of authenticator
// are the way out. All numbers must be 1 or more, the variance 0 or more.
func PlanToken(loginsPerDay, days, variance int) (TokenPlan, error) {
	if err := within("logins per day", loginsPerDay, 1, 10_000); err != nil {
		return TokenPlan{}, err
	}
	if err := within("days", days, 1, 10_000); err != nil {
		return TokenPlan{}, err
	}
	if err := within("variance", variance, 0, 1000); err != nil {
		return TokenPlan{}, err
	}
	buffer := latchkey.BuiltinPolicy().HOTP.Buffer
	codes := (loginsPerDay*days*(100+variance) + 99) / 100
	plan := TokenPlan{Codes: codes, Window: codes + buffer, Buffer: buffer, Quota: codes, TooLarge: codes+buffer > MaxWindow}
	if plan.TooLarge {
		room := (MaxWindow - buffer) * 100
		plan.MostDays, plan.MostLogins = room/(loginsPerDay*(100+variance)), room/(days*(100+variance))
	}
	return plan, nil
}

// DaysNote says where a policy gives fewer offline days than a trip has; "" where
// every machine may have as many.
func DaysNote(days int) string {
	soft := latchkey.Software.MaxOfflineDays()
	switch {
	case days > MaxDays:
		return fmt.Sprintf("offline.days is %d at most: plan an online login in between", MaxDays)
	case days > soft:
		return fmt.Sprintf("machines of key class S or V are held to %d days: plan an online login in between, or use machines with a TPM", soft)
	}
	return ""
}
