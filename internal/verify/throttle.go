package verify

import (
	"time"

	"latchkey"
)

// The throttle of RFC 4226 section 7.3 and NIST SP 800-63B section 3.2.2: the
// odds of guessing a 6-digit code in LockAt tries at ±1 step are 3 in 100,000.
const (
	BackoffAt = 5                // wrong answers before the first delay
	LockAt    = 10               // wrong answers before the lock
	FirstWait = 30 * time.Second // doubles with each wrong answer
	LongWait  = time.Hour        // never longer
)

// Charge counts one wrong answer.
func Charge(s latchkey.CredentialState, now time.Time) latchkey.CredentialState {
	s.Fails++
	s.Debt++
	if w := wait(s); w > 0 {
		s.RetryAt = now.Add(w)
	}
	return s
}

// wait is the delay that the state has earned. Debt counts for half: nine
// wrong answers, a right one and nine more must grow slower all the same.
func wait(s latchkey.CredentialState) time.Duration {
	n := max(s.Fails, s.Debt/2)
	if n < BackoffAt {
		return 0
	}
	w := FirstWait
	for i := BackoffAt; i < n && w < LongWait; i++ {
		w *= 2
	}
	return min(w, LongWait)
}
