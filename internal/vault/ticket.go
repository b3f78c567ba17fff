package vault

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"latchkey"
	"latchkey/internal/policy"
)

// MaxTrust bounds how long a machine may be trusted for a user.
const MaxTrust = 30 * 24 * time.Hour

// ErrNoOffer: trust was not on offer after that logon.
var ErrNoOffer = errors.New("trust was not on offer")

// An offer of trust belongs to a logon that has just succeeded.
type offer struct {
	user  latchkey.UserID
	until time.Time
	given time.Duration // time since boot
}

// offerLife is how long a person may think about it.
const offerLife = 5 * time.Minute

// mayTrust: elevation and remote logons are never spared, and a program of the
// user's own may not spare anything.
func mayTrust(l latchkey.Logon) bool {
	return l.Caller == 0 && (l.Scenario == latchkey.Console || l.Scenario == latchkey.Unlock)
}

func (v *Vault) makeOffer(l latchkey.Logon, u latchkey.UserID, until time.Time, r Reading) {
	for id, o := range v.offers {
		if r.Boot-o.given > offerLife {
			delete(v.offers, id)
		}
	}
	if mayTrust(l) && until.After(time.Time{}) {
		v.offers[l.ID] = offer{u, until, r.Boot}
	}
}

// offerOffline offers what the signed policy allows: never longer than the
// allowance, and on a machine that asks everybody only where it says so.
func (v *Vault) offerOffline(s *scene) {
	f := s.facts
	set := f.Machine.Settings
	if !f.Signed || f.Policy.TrustHours == nil || set.EnforcedAt(s.now) && !set.TrustOnEnforced {
		return
	}
	until := s.now.Add(time.Duration(*f.Policy.TrustHours) * time.Hour)
	if last := s.entry.until(v.c.Class); last.Before(until) {
		until = last
	}
	v.makeOffer(s.logon, latchkey.UserID(s.record.User.String()), until, s.reading)
}

// Offer returns until when this machine may be trusted after the logon that
// just succeeded; false where trust is not on offer.
func (v *Vault) Offer(id latchkey.LogonID) (until time.Time, ok bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	o, ok := v.offers[id]
	return o.until, ok
}

// Trust spares the user of a logon the question on this machine, until the time
// that was on offer or the next start. Errors: ErrNoOffer.
func (v *Vault) Trust(id latchkey.LogonID) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	r := v.c.Clock()
	o, ok := v.offers[id]
	delete(v.offers, id)
	if !ok || r.Boot-o.given > offerLife {
		return ErrNoOffer
	}
	i, ok := v.slotOf(o.user)
	if !ok {
		return ErrNoOffer
	}
	now, _ := v.ledger.head.Clock.now(r)
	if most := now.Add(MaxTrust); o.until.After(most) {
		o.until = most
	}
	d := v.ledger.draft()
	d.user(i).Trust = ticket{o.until.UnixMilli(), bootTag(r.BootID)}
	if err := v.commit(d, r); err != nil {
		return fmt.Errorf("keeping trust: %w", err)
	}
	return nil
}

// Tickets reports whether a logon is trusted or in grace, as far as this machine
// knows. Whether that spares anybody anything is for policy to say.
func (v *Vault) Tickets(l latchkey.Logon) (trusted, graced bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := v.look(l)
	if s.record == nil {
		return false, false
	}
	var f policy.Facts
	v.ticketFacts(s, &f) // whether or not his bundle has come already
	return f.Trust, f.Grace
}

func (v *Vault) slotOf(u latchkey.UserID) (uint32, bool) {
	i := slices.IndexFunc(v.ledger.users, func(r record) bool { return r.State != slotFree && r.User == labelOf(string(u)) })
	return uint32(max(0, i)), i >= 0
}

func (v *Vault) ticketFacts(s *scene, f *policy.Facts) {
	if s.own() {
		return
	}
	boot := bootTag(s.reading.BootID)
	f.Trust = s.record.Trust.valid(s.now, boot)
	session, ok := sessionOf(s.logon)
	f.Grace = ok && slices.ContainsFunc(s.record.Graces[:], func(g grace) bool {
		return g.Session == session && g.Scenario == wordOf(string(s.logon.Scenario)) && g.Ticket.valid(s.now, boot)
	})
}

// sessionOf names the place where a person sits. Without a terminal there is
// none, and from far away it proves nothing.
func sessionOf(l latchkey.Logon) (tag8, bool) {
	if l.TTY == "" || l.Caller != 0 || l.Scenario == latchkey.RemoteLogon || l.Scenario == latchkey.RemoteClient {
		return tag8{}, false
	}
	return hashed8(l.TTY + "\x00" + l.RUser), true
}

// grant gives the grace that the policy has for the scenario, in place of the
// one that ends first.
func (r *record) grant(l latchkey.Logon, p *latchkey.Policy, now time.Time, boot tag16) {
	session, ok := sessionOf(l)
	if !ok || p == nil || p.Rules(l.Scenario).GraceMinutes <= 0 {
		return
	}
	g := grace{
		Scenario: wordOf(string(l.Scenario)), Session: session,
		Ticket: ticket{now.Add(time.Duration(p.Rules(l.Scenario).GraceMinutes) * time.Minute).UnixMilli(), boot},
	}
	place := 0
	for i, have := range r.Graces {
		if have.Scenario == g.Scenario && have.Session == g.Session {
			place = i
			break
		}
		if have.Ticket.Until < r.Graces[place].Ticket.Until {
			place = i
		}
	}
	r.Graces[place] = g
}
