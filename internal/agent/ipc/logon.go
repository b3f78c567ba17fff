package ipc

import (
	"context"
	"errors"
	"strings"
	"time"

	"latchkey"
	"latchkey/internal/frame"
)

// errCaller: the caller may not speak for the user he names.
var errCaller = errors.New("caller may not speak for this user")

// errName: the name cannot be anybody's.
var errName = errors.New("not a user's name")

// decide turns a BEGIN into a logon and has it judged.
func (s *Server) decide(ctx context.Context, c *conversation, b frame.Begin, who Caller) latchkey.Verdict {
	l, err := s.logonOf(b, who)
	if err != nil {
		if errors.Is(err, errCaller) {
			s.Handler.Refused(l)
		}
		return latchkey.DenyVerdict(latchkey.UnknownIdentity)
	}
	if l.Account {
		return s.Handler.Account(ctx, l, b.AuthEvent)
	}
	return s.Handler.Logon(ctx, c, l)
}

// logonOf says who wants to log in where. The names are the front-end's; who
// calls is the kernel's word.
func (s *Server) logonOf(b frame.Begin, who Caller) (latchkey.Logon, error) {
	scenario, known := s.services().scenarioOf(b.Scenario, b.Service, b.RHost)
	l := latchkey.Logon{
		Scenario: scenario, Service: printable(b.Service), User: b.User, UID: b.UID, SID: b.SID,
		RUser: printable(b.RUser), RHost: printable(b.RHost), TTY: printable(b.TTY),
		Caller: who.UID, Account: b.Op == frame.OpAccount,
	}
	if scenario == latchkey.Elevate && b.UID != nil && *b.UID == 0 && b.RUser != "" {
		// Root is no person: whoever becomes root proves that it is him.
		l.User, l.UID = b.RUser, b.RUID
	}
	if err := latchkey.CheckName(l.User); err != nil {
		l.User = printable(l.User)
		return l, errName
	}
	account, err := Lookup(s.Passwd, l.User)
	listed := err == nil
	if err != nil && !errors.Is(err, ErrNoAccount) {
		s.Log.Warn("who is local cannot be told", "error", err)
	}
	if who.UID != 0 {
		if !known || scenario != latchkey.Unlock || l.UID != nil && *l.UID != who.UID || listed && account.UID != who.UID {
			return l, errCaller
		}
		l.UID = &who.UID
	}
	if !known {
		return l, errName
	}
	l.Local = listed && (l.UID == nil || *l.UID == account.UID)
	return l, nil
}

// maxField is the longest of what the server takes about a logon, in bytes.
const maxField = 256

// printable makes bytes from the machine fit for JSON and logs, and cuts them:
// a logon that the server refuses for its form would read as a server that
// cannot be asked, and any user could have one.
func printable(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) > maxField {
		s = strings.ToValidUTF8(s[:maxField], "") // half a letter goes too
	}
	return s
}

var outcomes = map[latchkey.Outcome]frame.Outcome{
	latchkey.Denied: frame.Deny, latchkey.Allowed: frame.Allow, latchkey.NotRequired: frame.NotRequired,
	latchkey.Locked: frame.Locked, latchkey.Unavailable: frame.Unavailable,
}

// verdict sends v as the last frame. Words that do not fit a frame are left
// out; the outcome never is.
func (c *conversation) verdict(v latchkey.Verdict, now time.Time) error {
	m := verdictFrame(v, now)
	if _, err := m.Encode(); err != nil {
		m = frame.Verdict{Outcome: m.Outcome, Reason: m.Reason}
	}
	return c.send(m)
}

// verdictFrame is v on the wire. An outcome that is not in the list, and an
// entry whose reason lets nobody in, is a denial.
func verdictFrame(v latchkey.Verdict, now time.Time) frame.Verdict {
	outcome := outcomes[v.Outcome] // the zero value denies
	if !v.Reason.Known() || outcome.LetsIn() != isEntry(v.Reason) {
		return frame.Verdict{Outcome: frame.Deny, Reason: string(latchkey.InternalError)}
	}
	m := frame.Verdict{Outcome: outcome, Reason: string(v.Reason), Text: v.Text, EventID: v.Event}
	if v.Left == nil {
		return m
	}
	if v.Left.Counted {
		left := uint32(max(0, v.Left.Logins))
		m.LoginsLeft = &left
	}
	if !v.Left.Until.IsZero() {
		until, days := uint64(max(0, v.Left.Until.Unix())), daysLeft(v.Left.Until.Sub(now))
		m.ValidUntil, m.DaysLeft = &until, &days
	}
	return m
}

func isEntry(r latchkey.Reason) bool {
	for _, in := range latchkey.LetIn {
		if r == in {
			return true
		}
	}
	return false
}

// daysLeft counts begun days: on the last one it says 1.
func daysLeft(d time.Duration) uint32 {
	const day = 24 * time.Hour
	if d <= 0 {
		return 0
	}
	return uint32((d + day - 1) / day)
}
