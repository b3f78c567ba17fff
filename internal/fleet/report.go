package fleet

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"latchkey"
	"latchkey/internal/api"
	"latchkey/internal/bundle"
	"latchkey/internal/otp"
	"latchkey/internal/verify"
)

// totpWindow is how many steps each side of now a machine accepts.
const totpWindow = 1

// clockSlack is how far ahead a machine's clock may be before a code of its
// present is taken for a lie. Within it floors are raised to the server's own
// present at most.
const clockSlack = 5 * time.Minute

// MaxReports is the most events in one report; a machine sends the rest next.
const MaxReports = 1000

// A judge looks through one report. What it finds believable goes into the
// merger; the rest is an incident.
type judge struct {
	now     time.Time
	ledger  Ledger
	merger  Merger
	changes map[latchkey.UserID]*MemberChange
	usedBy  func(latchkey.AuthenticatorID, uint64, latchkey.LogonID) (Use, error)
	toldOf  func(thing string) (bool, error)

	lost     uint64 // events that the machine overwrote since its last report
	lossTold bool   // there is a line about it

	reports, codes, incidents *latchkey.Pace
}

// judge weighs a report against what the machine was issued.
func (f *Fleet) judge(ctx context.Context, l Ledger, in api.SyncRequest) (Merger, error) {
	j := judge{
		now: f.now(), ledger: l, reports: &f.reports, codes: &f.codes, incidents: &f.incidents, changes: map[latchkey.UserID]*MemberChange{},
		usedBy: func(c latchkey.AuthenticatorID, n uint64, l latchkey.LogonID) (Use, error) {
			return f.store.UsedBy(ctx, c, n, l)
		},
		toldOf: func(thing string) (bool, error) { return f.store.ToldOf(ctx, l.Machine.ID, thing) },
	}
	j.merger = Merger{
		Now: j.now, Machine: l.Machine.ID, OS: in.OS, Version: in.AgentVersion, From: l, Proven: f.proven(l.Machine, in.Proof),
		Seq: l.Reported, Hash: l.Hash, Lost: l.Lost, Gen: l.Generation, Raise: map[latchkey.AuthenticatorID]uint64{},
		Burns: map[latchkey.AuthenticatorID]time.Time{}, Claims: map[latchkey.AuthenticatorID]uint64{},
	}
	if l.Machine.State == latchkey.Removed {
		return j.merger, nil // it fills no audit trail any more
	}
	j.remember()
	in = j.numbers(in)
	j.merger.Gen = max(l.Generation, in.Generation)
	j.loss(in.Lost)
	if in.Generation < l.Generation {
		j.suspect("the machine's ledger went back", "generation", fmt.Sprintf("%d after %d", in.Generation, l.Generation))
	}
	if err := j.events(in); err != nil {
		return Merger{}, err
	}
	for _, k := range in.Users {
		if err := j.known(ctx, f.store, k); err != nil {
			return Merger{}, err
		}
	}
	j.finish()
	return j.merger, nil
}

// believed reports whether what the machine says changes anything: of one that
// is quarantined, or found lying in this very report, only the events are kept.
func (j *judge) believed() bool {
	return j.ledger.Machine.State == latchkey.Active && j.merger.Suspect == ""
}

// events takes the events that are new, in their order.
func (j *judge) events(in api.SyncRequest) error {
	list := slices.Clone(in.Events)
	slices.SortFunc(list, func(a, b api.Report) int { return cmp.Compare(a.Seq, b.Seq) })
	for _, r := range list[:min(len(list), MaxReports)] {
		if r.Seq <= j.merger.Seq {
			continue // delivered before
		}
		j.chain(r)
		if gap := r.Seq - j.merger.Seq - 1; gap > j.lost {
			j.incident("events are missing from the machine's reports", "gap", fmt.Sprintf("%d before %d", gap, r.Seq))
		} else {
			j.lost -= gap
		}
		if err := j.event(r); err != nil {
			return err
		}
		j.merger.Seq = r.Seq
	}
	return nil
}

// chain compares what an event says of the one before with the one that was
// delivered. Where they differ somebody wrote another history: a copy of the
// machine, or an older state of it.
func (j *judge) chain(r api.Report) {
	if r.Seq == j.merger.Seq+1 && j.merger.Hash != "" && r.Prev != j.merger.Hash {
		j.suspect("the machine's history is not the one it told before", "seq", fmt.Sprint(r.Seq))
	}
	j.merger.Hash = r.Sum()
}

// event takes one event into the audit trail, and what it says where that can
// be.
func (j *judge) event(r api.Report) error {
	e := j.entry(r)
	m := j.ledger.Users[r.User]
	if m != nil {
		e.UserName = m.User.Name
	}
	if m == nil && r.User != "" {
		j.incident("an event is of a user whom the machine was told nothing of", "user", named(string(r.User)))
		e.User = ""
		e.Detail = map[string]string{"claimed": named(string(r.User))}
	}
	if m != nil && r.Credential != "" && r.Outcome == latchkey.Allowed {
		if err := j.used(&e, m, r); err != nil {
			return err
		}
	}
	if m != nil && r.Reason == latchkey.WrongCode && r.Scenario != latchkey.Unlock {
		j.failed(m, e.Time)
	}
	pace := j.reports
	if e.First && r.Used >= m.token(r.Credential).Next {
		pace = j.codes
	}
	if j.take(pace, nil) {
		j.merger.Events = append(j.merger.Events, e)
	}
	return nil
}

// entry is the event as it is stored, clamped to what can be: a time between
// the machine's first day and now, words from the closed lists.
func (j *judge) entry(r api.Report) Entry {
	at := time.UnixMilli(r.At).UTC()
	if at.After(j.now) {
		at = j.now
	}
	if at.Before(j.ledger.Machine.CreatedAt) {
		at = j.ledger.Machine.CreatedAt
	}
	e := Entry{Seq: r.Seq, Event: latchkey.Event{
		Time: at, Kind: latchkey.LogonEvent, Actor: "", User: r.User, UserName: short(r.Typed),
		Machine: j.ledger.Machine.ID, Host: j.ledger.Machine.Name, Offline: true, Logon: short(r.Logon),
		Outcome: r.Outcome, Reason: r.Reason, Scenario: r.Scenario,
	}}
	if r.Kind != "" {
		e.Detail = map[string]string{"kind": short(string(r.Kind))}
	}
	if !slices.Contains(outcomes, r.Outcome) || !r.Reason.Known() || r.Scenario != "" && !slices.Contains(latchkey.Scenarios, r.Scenario) {
		e.Outcome, e.Reason, e.Scenario = latchkey.Denied, latchkey.InternalError, ""
		j.incidentOf(j.ledger.Users[r.User], "an event holds words that no agent writes", "seq", fmt.Sprint(r.Seq))
	}
	return e
}

var outcomes = []latchkey.Outcome{latchkey.Denied, latchkey.Allowed, latchkey.NotRequired, latchkey.Locked, latchkey.Unavailable}

// short bounds what a machine can write into the audit trail.
func short(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s[:min(len(s), maxText)], ""), "\x00", "")
}

// used takes a code that a machine says it accepted.
func (j *judge) used(e *Entry, m *Member, r api.Report) error {
	t := m.token(r.Credential)
	if t == nil {
		j.beyond(m, "an event names an authenticator that the user does not have", "authenticator", named(string(r.Credential)), "logon", e.Logon)
		return nil
	}
	if t.Kind != latchkey.TOTP && t.Kind != latchkey.HOTP {
		return nil
	}
	if why := j.impossible(m, t, r.Used); why != "" {
		j.beyond(m, why, "authenticator", string(t.ID), unit(t.Kind), fmt.Sprint(r.Used), "logon", e.Logon)
		return nil
	}
	e.Credential, e.Used = t.ID, &r.Used
	other, err := j.other(t, r)
	if err != nil {
		return fmt.Errorf("looking for another use: %w", err)
	}
	if e.First = !other.Known; other.Known && other.Logon != e.Logon && j.take(j.incidents, m) {
		here := Use{e.Logon, j.ledger.Machine.Name, !j.believed(), true}
		j.merger.Incident = append(j.merger.Incident, Double{e.Event, t.Authenticator, r.Used, other, here}.Incident(j.now, j.actor()))
	}
	j.raise(m, t, r.Used+1)
	return nil
}

// other is the login that a code was used for before, in this very report or in
// an earlier one.
func (j *judge) other(t *Token, r api.Report) (Use, error) {
	for _, e := range j.merger.Events {
		if e.Used != nil && *e.Used == r.Used && e.Credential == t.ID {
			return Use{e.Logon, j.ledger.Machine.Name, !j.believed(), true}, nil
		}
	}
	return j.usedBy(t.ID, r.Used, short(r.Logon))
}

// impossible says why the machine cannot have accepted a code; "" where it can.
func (j *judge) impossible(m *Member, t *Token, used uint64) string {
	switch {
	case m.EnrolledAt.IsZero():
		return "an event is of a user who was never enrolled on the machine"
	case used >= j.issued(t, j.now.Add(clockSlack)):
		return "an event names a code that the machine does not have yet"
	case t.Kind == latchkey.TOTP && used > j.horizon(m, t):
		return "an event names a code past the user's last offline day"
	case t.Kind == latchkey.TOTP && !t.handed(used):
		return "an event names a code that the machine was never handed"
	}
	return ""
}

// horizon is the last step that may have been issued: the hard maximum of days
// counts, because the policy may have been looser when the book was made.
func (j *judge) horizon(m *Member, t *Token) uint64 {
	days := latchkey.Limit{Days: j.ledger.Machine.KeyClass.MaxOfflineDays()}
	return otp.Step(bundle.Horizon(m.Anchor, days), t.Period)
}

// raise lifts the floor of a token, never beyond what the machine can know.
func (j *judge) raise(m *Member, t *Token, next uint64) {
	next = min(next, j.bound(t))
	if next > t.Next && j.affords(m, t, next) {
		j.merger.Raise[t.ID] = max(j.merger.Raise[t.ID], next)
	}
}

// failed slows the user down on this machine, and nowhere else. The wait begins
// with the failure and not with its report, and an online login since then has
// paid for it: a laptop that comes home must let its user in. At a locked screen
// any of the user's own programs can fail; the machine's ledger alone slows those
// down.
func (j *judge) failed(m *Member, at time.Time) {
	if at.Before(m.Anchor) {
		return
	}
	c := j.change(m)
	s := verify.Charge(latchkey.CredentialState{Fails: c.Fails}, at)
	c.Fails = s.Fails
	if s.RetryAt.After(c.Retry) {
		c.Retry = s.RetryAt
	}
}

// known takes what the machine holds of a user.
func (j *judge) known(ctx context.Context, s Store, k api.Known) error {
	m := j.ledger.Users[k.User]
	if m == nil {
		if k.Version != 0 || len(k.Floors) > 0 {
			return j.stranger(ctx, s, k.User)
		}
		return nil
	}
	c := j.change(m)
	if k.Version <= m.Version {
		c.Acked = max(c.Acked, k.Version)
	}
	c.Synced = m.Version != 0 && k.Version == m.Version
	c.Wiped = k.Wiped && m.wiping()
	if k.Anchor == anchorMillis(m.Anchor) {
		c.Uses = max(c.Uses, min(max(k.Uses, 0), maxUses))
	}
	for _, fl := range k.Floors {
		if err := j.floor(m, fl); err != nil {
			return err
		}
	}
	return nil
}

// maxUses bounds what a machine can report, far above every allowance.
const maxUses = 1_000_000

// floor takes a floor for true only where events that would explain it were
// lost, by the machine or by a server that was restored, which is an incident by
// itself, and once after an administrator approved of the machine. Otherwise the
// events say what was used;
// a machine that could raise floors without them could burn, at each sync, the
// codes that a user needs elsewhere, and leave no trace.
func (j *judge) floor(m *Member, fl latchkey.Floor) error {
	t, id := m.token(fl.Credential), named(string(fl.Credential))
	if t == nil {
		return j.holdsBeyond(m, "authenticator "+id, "the machine holds an authenticator that the user does not have", "authenticator", id)
	}
	if fl.Next > j.issued(t, j.now.Add(clockSlack)) {
		return j.holdsBeyond(m, "floor "+id, "the machine reports a code as used that it does not have yet",
			"authenticator", id, "next", fmt.Sprint(fl.Next))
	}
	if j.lossTold || j.ledger.FloorsDue || j.merger.Ahead {
		j.raise(m, t, fl.Next)
	}
	return nil
}

func (j *judge) change(m *Member) *MemberChange {
	if c, ok := j.changes[m.User.ID]; ok {
		return c
	}
	c := &MemberChange{User: m.User.ID, Anchor: m.Anchor, Uses: m.Uses, Fails: m.Fails, Retry: m.RetryAt, Acked: m.Acked}
	j.changes[m.User.ID] = c
	return c
}

// finish drops what a machine that is not believed wants changed.
func (j *judge) finish() {
	if !j.believed() {
		clear(j.merger.Raise)
		clear(j.merger.Burns)
		j.claim()
		j.merger.Gen = j.ledger.Generation
		return
	}
	j.claim()
	for _, c := range j.changes {
		j.merger.Members = append(j.merger.Members, *c)
	}
	slices.SortFunc(j.merger.Members, func(a, b MemberChange) int { return cmp.Compare(a.User, b.User) })
}

func (m *Member) token(id latchkey.AuthenticatorID) *Token {
	for i := range m.Tokens {
		if m.Tokens[i].ID == id {
			return &m.Tokens[i]
		}
	}
	return nil
}

func anchorMillis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}
