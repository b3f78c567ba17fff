package vault

import (
	"fmt"
	"slices"
	"time"

	"latchkey"
	"latchkey/internal/api"
	"latchkey/internal/logon"
	"latchkey/internal/seal"
)

// Absorb verifies the server's signed verdict on a logon and makes what it
// means for this machine durable in one write: floors, allowance, lasting
// denials, the uid, signed time. The verdict may be shown when the error is
// nil; with an error it denies.
//
// Errors of package seal and ErrForeign mean that this was no answer of the
// server to this question; logon.ErrSlept that it is one of before a sleep, of
// which nothing is taken over; any other that it was, and could not be kept.
func (v *Vault) Absorb(l latchkey.Logon, raw []byte, q Inquiry) (latchkey.Verdict, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	w, err := v.readVerdict(l, raw, q.Nonce)
	if err != nil {
		return latchkey.DenyVerdict(latchkey.InternalError), fmt.Errorf("reading verdict on %s: %w", l.ID, err)
	}
	now, err := q.answered(w.At, v.c.Clock())
	if err != nil {
		return latchkey.DenyVerdict(latchkey.InternalError), fmt.Errorf("verdict on %s: %w", l.ID, err)
	}
	d := v.ledger.draft()
	d.contact(now)
	if w.Sticky && w.Reason == latchkey.MachineRemoved {
		d.head.Removed, d.head.RemovedV = 1, w.Version
	}
	if err := v.absorbUser(d, l, w, now.r); err != nil {
		return latchkey.DenyVerdict(latchkey.InternalError), err
	}
	if err := v.commit(d, now.r); err != nil {
		return latchkey.DenyVerdict(latchkey.InternalError), fmt.Errorf("keeping verdict on %s: %w", l.ID, err)
	}
	return v.shown(l, w, now.r), nil
}

func (v *Vault) readVerdict(l latchkey.Logon, raw []byte, nonce string) (api.Verdict, error) {
	doc, _, err := seal.Verify(raw, api.VerdictType, v.keys)
	if err != nil {
		return api.Verdict{}, err
	}
	var w api.Verdict
	if err := seal.DecodeStrict(doc, &w); err != nil {
		return api.Verdict{}, err
	}
	if nonce == "" || w.Nonce != nonce || w.Logon != l.ID || w.Deployment != v.c.Deployment || w.Machine != v.c.Machine {
		return api.Verdict{}, ErrForeign
	}
	return w, nil
}

// contact takes over signed time. A ledger that replaced a lost one has now
// been told by the server: from here on a later online login counts again.
func (d *draft) contact(m moment) {
	d.head.Clock = d.head.Clock.hear(m)
	d.head.Corrupt = 0
	if d.head.LostAt == forever {
		d.head.LostAt = m.at.UnixMilli()
	}
}

// absorbUser applies a verdict to its user's record, and makes one for a user
// who enters here for the first time. Where the ledger has no room for another
// user there is nothing of his that could be used offline either.
func (v *Vault) absorbUser(d *draft, l latchkey.Logon, w api.Verdict, reading Reading) error {
	if w.User == "" {
		return nil
	}
	if err := checkUserID(w.User); err != nil {
		return fmt.Errorf("verdict on %s: %w", l.ID, err)
	}
	r := v.recordFor(d, w.User, w.Outcome.Enters())
	if r == nil {
		return nil
	}
	if r.Version == 0 && r.Names == ([maxNames]tag16{}) {
		r.Names[0] = v.nameTag(l.User)
	}
	r.raise(w.Floors)
	r.anchor(w.Anchor)
	r.deny(w)
	if w.Outcome.Enters() && w.Anchor > 0 {
		v.pin(d, r, l)
		v.grantOnline(r, l, time.UnixMilli(w.At), reading)
	}
	return nil
}

// recordFor returns the record of a user, to be changed; nil where there is
// none and no new one is wanted or has room.
func (v *Vault) recordFor(d *draft, u latchkey.UserID, create bool) *record {
	if i, ok := v.slotOf(u); ok {
		return d.user(i)
	}
	if !create {
		return nil
	}
	_, r, err := d.newUser()
	if err != nil {
		return nil
	}
	r.User, r.State = labelOf(string(u)), slotHeld
	return r
}

// raise lifts floors: what was used elsewhere is used here. Of what is not held
// here the header will say it.
func (r *record) raise(floors []latchkey.Floor) {
	for _, f := range floors {
		if h := r.find(f.Credential); h != nil {
			h.Next = max(h.Next, f.Next)
		}
	}
}

// anchor opens a new allowance: an online MFA pays for what was used offline,
// wrong answers included.
func (r *record) anchor(at int64) {
	if at <= r.Anchor {
		return
	}
	r.Anchor, r.Uses = at, 0
	for i := range r.Held {
		r.Held[i].Root, r.Held[i].Own = fails{}, fails{}
	}
}

// deny keeps a denial with a lasting cause. It is bound to the server's word of
// now, so it outweighs any version that is held; only a higher one clears it.
func (r *record) deny(w api.Verdict) {
	switch {
	case w.Sticky && !w.Outcome.Enters():
		r.Denial = denial{Reason: wordOf(string(w.Reason)), Until: w.Until, Version: max(w.Version, r.Version)}
	case r.Denial.clearedBy(w.Version), w.Outcome.Enters() && w.Anchor > 0 && w.Version > r.Denial.Version:
		r.Denial = denial{}
	}
}

// pin ties the uid to the user at his first online success through a program of
// root, which has looked the uid up; others only claim a name. A uid whose owner
// is gone may be tied again.
func (v *Vault) pin(d *draft, r *record, l latchkey.Logon) {
	if l.UID == nil || l.Caller != 0 || r.Pinned == 1 {
		return
	}
	for i := range v.ledger.users {
		o := &v.ledger.users[i]
		if o.Pinned == 1 && o.UID == *l.UID && o.User != r.User {
			if o.State == slotHeld {
				return // two users, one uid: offline nobody could tell them apart
			}
			d.user(uint32(i)).Pinned = 0
		}
	}
	r.Pinned, r.UID = 1, *l.UID
}

// grantOnline gives the grace of the policy after an online login, where the
// machine holds a policy.
func (v *Vault) grantOnline(r *record, l latchkey.Logon, now time.Time, reading Reading) {
	if e, err := v.open(latchkey.UserID(r.User.String()), r.Version); err == nil {
		r.grant(l, e.Policy, now, bootTag(reading.BootID))
	}
}

// shown is the verdict for the person. Whatever is not in the closed lists, or
// does not fit together, denies.
func (v *Vault) shown(l latchkey.Logon, w api.Verdict, r Reading) latchkey.Verdict {
	refused := slices.Contains(latchkey.Refusals, w.Reason) &&
		slices.Contains([]latchkey.Outcome{latchkey.Denied, latchkey.Locked, latchkey.Unavailable}, w.Outcome)
	if !refused && (!w.Outcome.Enters() || !slices.Contains(latchkey.LetIn, w.Reason)) {
		return latchkey.DenyVerdict(latchkey.InternalError)
	}
	out := latchkey.Verdict{Outcome: w.Outcome, Reason: w.Reason, Text: w.Text, Event: w.Event}
	now := time.UnixMilli(w.At)
	if w.Until > 0 {
		out.Retry = time.UnixMilli(w.Until)
	}
	if out.Text == "" {
		out.Text = logon.Sentence(out, now)
	}
	if w.Outcome == latchkey.Allowed && w.Trust > w.At {
		v.makeOffer(l, w.User, time.UnixMilli(w.Trust), r)
	}
	return out
}
