package vault

import (
	"errors"
	"slices"
	"time"

	"latchkey"
	"latchkey/internal/bundle"
	"latchkey/internal/logon"
	"latchkey/internal/policy"
	"latchkey/internal/seal"
	"latchkey/internal/verify"
)

// A scene is what one decision is made from. It is gathered anew for every
// question and every answer.
type scene struct {
	logon   latchkey.Logon
	reading Reading
	now     time.Time
	behind  bool
	slot    uint32
	record  *record // as it is durable; nil for a user who is not known here
	entry   *entry  // nil where no bundle of the user can be read
	gone    error   // why there is no entry
	unclear bool    // the name or uid means several users, or another one than before
	facts   policy.Facts
	decided policy.Decision
}

// own: a program of the user asks, not one of root's.
func (s *scene) own() bool { return s.logon.Caller != 0 }

// look gathers the facts about a logon and decides.
func (v *Vault) look(l latchkey.Logon) *scene {
	s := &scene{logon: l, reading: v.c.Clock()}
	s.now, s.behind = v.ledger.head.Clock.now(s.reading)
	v.identify(s)
	if s.record != nil {
		s.entry, s.gone = v.open(latchkey.UserID(s.record.User.String()), s.record.Version)
	}
	s.facts = v.facts(s)
	s.decided = policy.Decide(s.facts)
	return s
}

// refused: root may speak for anyone. Anybody else speaks for himself, at his
// own locked screen, and only once his name is tied to his uid.
func (s *scene) refused() (latchkey.Reason, bool) {
	l := s.logon
	switch {
	case !s.own():
		return "", false
	case l.UID == nil || *l.UID != l.Caller:
		return latchkey.UnknownIdentity, true
	case s.record != nil && (s.record.Pinned == 0 || s.record.UID != l.Caller):
		return latchkey.UnknownIdentity, true
	case l.Scenario != latchkey.Unlock:
		return latchkey.ConditionFailed, true
	}
	return "", false
}

// identify finds the user: by the uid that is tied to him, else by name. An
// account of the machine itself is nobody where the settings do not match those.
func (v *Vault) identify(s *scene) {
	if s.logon.Local && v.settings != nil && !v.settings.Settings.MatchLocal {
		return
	}
	named, tied := v.named(s.logon), v.tied(s.logon)
	found := tied
	if len(tied) == 0 {
		found = named
	}
	s.unclear = len(named) > 1 || len(tied) > 1 ||
		len(named) == 1 && len(tied) == 1 && named[0] != tied[0]
	if s.unclear || len(found) == 0 {
		return
	}
	s.slot, s.record = found[0], &v.ledger.users[found[0]]
	if r := s.record; s.logon.UID != nil && r.Pinned == 1 && r.UID != *s.logon.UID {
		s.unclear = true
	}
}

// named lists the users that a name means here.
func (v *Vault) named(l latchkey.Logon) []uint32 {
	tag := v.nameTag(l.User)
	return v.living(func(r *record) bool { return slices.Contains(r.Names[:], tag) })
}

func (v *Vault) tied(l latchkey.Logon) []uint32 {
	if l.UID == nil {
		return nil
	}
	return v.living(func(r *record) bool { return r.Pinned == 1 && r.UID == *l.UID })
}

// living lists the slots that match, and those of users who are gone only where
// no other does: a name may have been given to somebody new.
func (v *Vault) living(match func(*record) bool) []uint32 {
	var held, gone []uint32
	for i := range v.ledger.users {
		r := &v.ledger.users[i]
		switch {
		case r.State == slotFree || !match(r):
		case r.State == slotHeld:
			held = append(held, uint32(i))
		default:
			gone = append(gone, uint32(i))
		}
	}
	if len(held) > 0 {
		return held
	}
	return gone[:min(1, len(gone))]
}

// nameTag stands for a folded name in the ledger, which is not encrypted.
func (v *Vault) nameTag(name string) (t tag16) {
	copy(t[:], seal.MAC(v.local, "latchkey/name/1", []byte(latchkey.FoldName(name))))
	return t
}

// nameTags are the names that a user goes by: of the built-in directory the
// bare name, of any other the qualified ones only, so that a local account of
// the same name is somebody else.
func (v *Vault) nameTags(h bundle.Header) (tags [maxNames]tag16) {
	if h.Directory == latchkey.Builtin {
		tags[0] = v.nameTag(h.Name)
		return tags
	}
	tags[0] = v.nameTag(h.Name + "@" + h.Directory)
	tags[1] = v.nameTag(h.Directory + `\` + h.Name)
	if slices.ContainsFunc([]rune(h.Name), func(r rune) bool { return r == '@' || r == '\\' }) {
		tags[2] = v.nameTag(h.Name)
	}
	return tags
}

func (v *Vault) facts(s *scene) policy.Facts {
	f := policy.Facts{
		Now: s.now, Offline: true, Scenario: s.logon.Scenario, Signed: v.settingsHold(s.now),
		Machine: policy.Machine{Removed: v.ledger.head.Removed == 1, KeyClass: v.c.Class},
		User:    policy.User{Known: s.record != nil, Ambiguous: s.unclear},
		Local:   policy.Local{ClockBehind: s.behind},
	}
	if v.settings != nil {
		f.Machine.Settings = v.settings.Settings
		f.Machine.Removed = f.Machine.Removed || v.settings.Removed
	}
	switch {
	case v.ledger.head.Corrupt == 1:
		// Who anybody is, and what he may still do, was lost with the ledger.
		f.Signed, f.User.Known, f.Local.Corrupt = false, true, true
		f.Policy = &latchkey.Policy{Offline: latchkey.OfflineRules{Enabled: true}}
	case s.record != nil:
		v.userFacts(s, &f)
	}
	return f
}

// settingsHold reports whether the machine's settings may waive anything: they
// are those that the ledger saw or newer ones, not expired, and do not ask for
// a newer agent.
func (v *Vault) settingsHold(now time.Time) bool {
	s := v.settings
	return s != nil && v.ledger.head.Settings.Version > 0 && now.UnixMilli() <= s.NotAfter && !oldAgent(v.c.Agent, s.MinAgent)
}

func (v *Vault) userFacts(s *scene, f *policy.Facts) {
	r, e := s.record, s.entry
	v.denialFacts(s, f)
	if r.State != slotHeld {
		f.User.Disabled = true
	}
	if e == nil {
		// Seen online, but no bundle has come yet; or it cannot be read any more.
		f.Signed, f.Policy = false, &latchkey.Policy{Offline: latchkey.OfflineRules{Enabled: true}}
		f.Local.Enrolled = false
		f.Local.Corrupt = r.Version > 0 || !errors.Is(s.gone, ErrNone)
		return
	}
	f.Signed = f.Signed && s.now.UnixMilli() <= e.NotAfter
	f.Policy = e.Policy
	f.User.Disabled = f.User.Disabled || e.Status != bundle.Active
	f.Usable = e.kinds()
	f.Locked = f.Locked || verify.LockedOut(s.credentials())
	n, has := s.tokenCodes()
	f.Local.TokenUsedUp = has && n == 0
	f.Local.Enrolled = f.Local.Enrolled && e.Enrolled && len(e.Credentials) > 0 && r.Anchor > 0
	f.Local.Corrupt = e.broken && len(f.Usable) == 0
	f.Local.LastDayOver = s.now.After(e.until(v.c.Class))
	if left := v.left(s); left != nil {
		f.Local.UsedUp = left.Counted && left.Logins == 0
	}
	v.ticketFacts(s, f)
}

// denialFacts apply what the server denied with a lasting cause: pulling the
// cable afterwards revives nothing.
func (v *Vault) denialFacts(s *scene, f *policy.Facts) {
	f.Local.Enrolled = true
	d := s.record.Denial
	if !d.holds(s.now) || s.entry != nil && d.clearedBy(s.entry.Version) {
		return
	}
	switch latchkey.Reason(d.Reason.String()) {
	case latchkey.LockedOut:
		f.Locked = true
	case latchkey.NotEnrolledHere:
		f.Local.Enrolled = false
	default:
		f.User.Disabled = true
	}
}

// kinds are the kinds whose codes are here, in the header's order.
func (e *entry) kinds() []latchkey.Kind {
	var out []latchkey.Kind
	for _, c := range e.Credentials {
		if e.books[c.ID] != nil && !slices.Contains(out, c.Kind) {
			out = append(out, c.Kind)
		}
	}
	return out
}

// MaxLogins bounds the counted offline logins, whatever the policy says.
const MaxLogins = 1000

// left is what remains of the allowance; nil where there is none to speak of.
func (v *Vault) left(s *scene) *latchkey.Left {
	if s.entry == nil || s.entry.Policy == nil || !s.entry.Enrolled {
		return nil
	}
	l := s.entry.Policy.Limit(v.c.Class)
	return &latchkey.Left{
		Counted: l.Counted, Until: s.entry.until(v.c.Class),
		Logins: max(0, min(l.Logins, MaxLogins)-int(s.record.Uses)),
	}
}

// question is what the decision asks for.
func (v *Vault) question(s *scene) logon.Question {
	return logon.Question{
		Required: s.decided.Required, Kinds: s.decided.Kinds, Offline: true, Left: v.left(s),
		TokenCodes: s.tokensLeft(), TokenUsedUp: s.facts.Local.TokenUsedUp,
	}
}

// tokenCodes is how many codes of the user's hardware token the machine still
// holds: of several tokens those of the one that has fewest but not none. ok is
// false where he has no token here.
func (s *scene) tokenCodes() (n int, ok bool) {
	if s.entry == nil {
		return 0, false
	}
	for _, c := range s.entry.Credentials {
		b := s.entry.books[c.ID]
		if c.Kind != latchkey.HOTP || b == nil {
			continue
		}
		last, some := b.Last()
		if left := int(int64(last) + 1 - int64(s.state(c).Next)); some && left > 0 && (n == 0 || left < n) {
			n = left
		}
		ok = true
	}
	return n, ok
}

func (s *scene) tokensLeft() *int {
	if n, ok := s.tokenCodes(); ok {
		return &n
	}
	return nil
}

// credentials are what the user's answers are checked against, with the
// failures of whoever asks.
func (s *scene) credentials() []verify.Held {
	var out []verify.Held
	for _, c := range s.entry.Credentials {
		b := s.entry.books[c.ID]
		if b == nil {
			continue
		}
		out = append(out, verify.Held{
			Credential: latchkey.Credential{
				ID: c.ID, Kind: c.Kind, Label: c.Label, Digits: c.Digits, Period: c.Period, Window: min(c.Window, maxWindow(c.Kind)), Codes: b,
			},
			State: s.state(c),
		})
	}
	return out
}

// maxWindow is the hard maximum of a window, whatever a header says.
func maxWindow(k latchkey.Kind) int {
	if k == latchkey.TOTP {
		return 2
	}
	return 1000
}

func (s *scene) state(c bundle.Credential) latchkey.CredentialState {
	st := latchkey.CredentialState{Next: c.Next}
	h := s.record.find(c.ID)
	if h == nil {
		return st
	}
	st.Next = max(st.Next, h.Next)
	if h.Owner == hashed8(s.logon.ID) && st.Next == h.Reserved+1 {
		st.Next = h.Reserved // sent to the server in this very logon, and not answered
	}
	f := h.Root
	if s.own() {
		f = h.Own
	}
	st.Fails, st.Debt, st.RetryAt = int(f.Fails), int(f.Debt), s.retryAt(f.RetryAt)
	return st
}

// retryAt: where the server set the clock back, an old delay must not become a
// long one.
func (s *scene) retryAt(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	at, most := time.UnixMilli(ms), s.now.Add(verify.LongWait)
	if at.After(most) {
		return most
	}
	return at
}
