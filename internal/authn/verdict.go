package authn

import (
	"context"
	"slices"
	"strconv"
	"time"

	"latchkey"
	"latchkey/internal/api"
	"latchkey/internal/logon"
	"latchkey/internal/policy"
	"latchkey/internal/verify"
)

// A ruling is how a logon ends, in the server's own words.
type ruling struct {
	outcome latchkey.Outcome
	reason  latchkey.Reason
	until   time.Time     // locked, throttled: when to try again
	asked   latchkey.Kind // wrong code: of what
}

func throttled(until time.Time) ruling {
	return ruling{outcome: latchkey.Denied, reason: latchkey.Throttled, until: until}
}

func locked(until time.Time) ruling {
	return ruling{outcome: latchkey.Locked, reason: latchkey.LockedOut, until: until}
}

// sticky reports whether the cause of a refusal stays, so that the machine keeps
// denying when the server cannot be reached. A lock that the user's own programs
// have earned is theirs alone: it must not follow him to the login screen.
func (h hearing) sticky(r ruling) bool {
	stays := []latchkey.Reason{latchkey.AccountDisabled, latchkey.MachineRemoved, latchkey.LockedOut}
	theirs := h.own() && r.reason == latchkey.LockedOut
	return !r.outcome.Enters() && !theirs && slices.Contains(stays, r.reason)
}

// verdict is the ruling where no answer is asked for.
func (h hearing) verdict() ruling {
	switch h.decision.Action {
	case policy.Lock:
		return locked(lockedUntil(h.held(), h.now))
	case policy.Enroll: // nobody enrolls at the prompt yet
		return ruling{outcome: latchkey.Denied, reason: latchkey.NotEnrolled}
	}
	return ruling{outcome: h.decision.Outcome(), reason: h.decision.Reason}
}

// A settling is what an answer changes.
type settling struct {
	answer []byte
	moves  []Move
	used   *Use
	proven bool // this was an online MFA through one of root's programs
}

// use notes the step or counter that the matching credential consumed.
func (s *settling) use(after []verify.Held, matched int) {
	s.used = &Use{after[matched].ID, after[matched].State.Next - 1}
}

// move notes every state that differs.
func (s *settling) move(before, after []verify.Held) {
	for i := range after {
		if after[i].State != before[i].State {
			used := s.used != nil && s.used.Credential == after[i].ID
			s.moves = append(s.moves, Move{after[i].ID, before[i].State, after[i].State, used})
		}
	}
}

// end records how a logon ended, and only then says so.
func (a *Authority) end(ctx context.Context, h hearing, v ruling, set *settling) (Result, error) {
	if set == nil {
		set = &settling{}
	}
	if h.idle(v, set) {
		return Result{Verdict: a.write(h, v, "", uint64(max(0, h.now.UnixMilli()))), Retry: v.until}, nil
	}
	e := a.event(h, latchkey.LogonEvent, v)
	id, err := a.store.EventID()
	if err != nil {
		return Result{}, err
	}
	e.ID = id
	now := uint64(max(0, h.now.UnixMilli()))
	r := Result{Verdict: a.write(h, v, e.ID, now), Retry: v.until}
	r.Verdict.Floors = h.floors(set.moves)
	if set.proven {
		r.Verdict.Anchor = h.now.UnixMilli()
		r.Verdict.Trust = h.trustUntil()
	}
	s := a.settlement(h, set, r, e)
	s.Anew = h.sticky(v)
	a.admit(h, v, set, &s)
	if len(set.moves) == 0 {
		a.bound(v, &s)
	}
	if r.Verdict.Version, err = a.store.Settle(ctx, s); err != nil {
		return Result{}, err
	}
	return r, nil
}

// bound leaves the line of a logon that cost no code out of the trail, where its
// user and machine have written too many: everything else of it counts.
func (a *Authority) bound(v ruling, s *Settlement) {
	source := latchkey.Source{User: s.User, Own: s.Apart}
	if a.weighs(v, source, s.Now) {
		return
	}
	pace := &a.refusals
	if v.outcome.Enters() {
		pace = &a.entries
	}
	write, told := pace.Take(a.machine, source, s.Now)
	if told != nil {
		told.Host = s.Event.Host
		if told.User != "" {
			told.UserName = s.Event.UserName
		}
		s.LeftOut = told
	}
	if !write {
		s.Event, s.Result.Verdict.Event = latchkey.Event{}, ""
	}
}

// weighs reports whether a refusal is one of the few of its kind that are
// written whatever else was: they tell of an attack, or that somebody is still
// tried who was put out.
func (a *Authority) weighs(v ruling, source latchkey.Source, now time.Time) bool {
	ration := a.weighty[v.reason]
	if ration == nil || v.outcome.Enters() {
		return false
	}
	write, _ := ration.Take(a.machine, source, now) // the others are counted as refusals
	return write
}

// idle reports whether a refusal changes nothing and is not worth a line: a
// program of the user's own could ask for it for ever, and push what matters
// out of sight.
func (h hearing) idle(v ruling, set *settling) bool {
	return h.own() && set.answer == nil && !v.outcome.Enters() && !h.sticky(v)
}

// trustUntil is until when the machine may be trusted after this success, in
// Unix milliseconds; 0 where policy offers no trust. It never outlives the
// offline allowance.
func (h hearing) trustUntil() int64 {
	m := h.facts.Machine
	if h.policy == nil || h.policy.TrustHours == nil || h.own() || m.Settings.EnforcedAt(h.now) && !m.Settings.TrustOnEnforced {
		return 0
	}
	if h.logon.Scenario != latchkey.Console && h.logon.Scenario != latchkey.Unlock {
		return 0
	}
	hours := min(*h.policy.TrustHours, 24*h.policy.Limit(m.KeyClass).Days)
	return h.now.Add(time.Duration(hours) * time.Hour).UnixMilli()
}

// write puts a ruling into the words of the wire. Nonce and signature follow
// when it is sent.
func (a *Authority) write(h hearing, v ruling, event string, version uint64) *api.Verdict {
	out := &api.Verdict{
		Deployment: a.keys.Deployment, Machine: a.machine, Logon: h.logon.ID, At: h.now.UnixMilli(),
		Version: version, Outcome: v.outcome, Reason: v.reason, Event: event,
		Text:   logon.Sentence(latchkey.Verdict{Outcome: v.outcome, Reason: v.reason, Retry: v.until, Asked: v.asked}, h.now),
		Sticky: h.sticky(v), Floors: []latchkey.Floor{},
	}
	if h.who != nil {
		out.User = h.who.User.ID
	}
	if v.outcome == latchkey.Locked {
		out.Until = v.until.UnixMilli()
	}
	return out
}

// floors are the floors of all his codes, as they will be after the moves: a
// code that was used here must not be good for another login there.
func (h hearing) floors(moves []Move) []latchkey.Floor {
	out := []latchkey.Floor{}
	for _, c := range h.held() {
		next := c.State.Next
		for _, m := range moves {
			if m.Credential == c.ID {
				next = m.To.Next
			}
		}
		if c.Kind == latchkey.TOTP || c.Kind == latchkey.HOTP {
			out = append(out, latchkey.Floor{Credential: c.ID, Next: next})
		}
	}
	return out
}

func (a *Authority) event(h hearing, kind latchkey.EventKind, v ruling) latchkey.Event {
	e := latchkey.Event{
		Time: h.now, Kind: kind, UserName: h.logon.User, Machine: a.machine, Host: h.facts.Machine.Name,
		Outcome: v.outcome, Reason: v.reason, Scenario: h.logon.Scenario, Logon: h.logon.ID,
		Detail: map[string]string{"row": strconv.Itoa(h.decision.Row)},
	}
	if h.who != nil {
		e.User, e.UserName = h.who.User.ID, h.who.User.Name
	}
	if h.policy != nil {
		e.Detail["policy"] = h.policy.Name
	}
	if h.decision.Would != nil {
		e.Detail["would"] = h.decision.Would.String()
	}
	if h.logon.RHost != "" {
		e.Detail["rhost"] = h.logon.RHost
	}
	return e
}

func (a *Authority) settlement(h hearing, set *settling, r Result, e latchkey.Event) Settlement {
	s := Settlement{
		Now: h.now, Answer: set.answer, Result: r, Event: e, Used: set.used, Moves: set.moves, Apart: h.own(), Machine: a.machine,
	}
	if h.who != nil {
		s.User = h.who.User.ID
	}
	return s
}

// admit adds what a logon changes on the machine: he was seen there, and with
// an online MFA the uid becomes his, the allowance is new, and he may be
// enrolled.
func (a *Authority) admit(h hearing, v ruling, set *settling, s *Settlement) {
	if h.who == nil || !h.seen(v) {
		return
	}
	s.Enters = true
	if !set.proven {
		return
	}
	s.Anchor = h.now
	if h.who.Here.UID == nil {
		s.Pin = h.logon.UID
	}
	own := h.facts.Owner == "" || h.facts.Owner == h.who.User.ID
	s.Own = h.facts.Owner == ""
	s.Enroll = h.who.Here.enrollable() && h.enrolls(own)
}

// seen reports whether the machine is to know of the user from now on: without
// the network it then says what he lacks, not that nobody knows him. Only
// root's programs can make a user known to a machine without letting him in.
func (h hearing) seen(v ruling) bool {
	lacks := v.reason == latchkey.NotEnrolled || v.reason == latchkey.NoPolicy
	return v.outcome.Enters() || lacks && !h.own()
}

// enrolls reports whether policy enrolls the user here without asking.
func (h hearing) enrolls(own bool) bool {
	if h.policy == nil || h.facts.Machine.State != latchkey.Active {
		return false
	}
	o := h.policy.Offline
	silently := o.Enroll == "auto" || o.Enroll == "mandatory"
	here := o.EnrollOn == "any" || o.EnrollOn == "own" && own
	return o.Enabled && silently && here && h.facts.Machine.KeyClass.Rank() >= h.policy.MinKeyClass.Rank()
}
