package policy

import "latchkey"

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
	return TokenPlan{
		Codes: codes, Window: codes + buffer, Buffer: buffer, Quota: codes, TooLarge: codes+buffer > MaxWindow,
	}, nil
}
