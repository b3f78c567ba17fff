package fleet

import (
	"fmt"
	"time"

	"latchkey"
)

// A Use is a login that a step or counter was used for.
type Use struct {
	Logon   latchkey.LogonID // as the machine named it
	Host    string           // the machine's name
	Doubted bool             // the machine is quarantined: it may have made it up
	Known   bool             // there is one
}

// A Double is one code that two logins were let in with.
type Double struct {
	Event  latchkey.Event // of the later one
	Code   latchkey.Authenticator
	Number uint64
	Before Use
	After  Use
}

// Incident is the line that a double use makes. It names whoever is quarantined:
// nobody else vouches for what such a machine says.
func (d Double) Incident(now time.Time, actor string) latchkey.Event {
	e := latchkey.Event{
		Time: now, Kind: latchkey.Incident, Actor: actor, User: d.Event.User, UserName: d.Event.UserName,
		Machine: d.Event.Machine, Host: d.Event.Host,
		Detail: map[string]string{
			"incident": "one code was used for two logins", "authenticator": string(d.Code.ID),
			unit(d.Code.Kind): fmt.Sprint(d.Number),
			"logons":          d.Before.Logon + " " + d.After.Logon, "machines": d.Before.Host + " " + d.After.Host,
		},
	}
	switch {
	case d.Before.Doubted:
		e.Detail["quarantined"] = d.Before.Host
	case d.After.Doubted:
		e.Detail["quarantined"] = d.After.Host
	}
	return e
}

// unit is what the codes of a kind are counted in.
func unit(k latchkey.Kind) string {
	if k == latchkey.TOTP {
		return "step"
	}
	return "counter"
}

// claim notes what was reported as used and moves no counter: because the
// machine is not believed, or its clock is ahead. A login with such a code is an
// incident, and an administrator who approves of the machine makes it count.
func (j *judge) claim() {
	for _, e := range j.merger.Events {
		if e.Used == nil {
			continue
		}
		t := j.ledger.Users[e.User].token(e.Credential)
		if *e.Used >= max(t.Next, j.merger.Raise[t.ID]) {
			j.merger.Claims[t.ID] = max(j.merger.Claims[t.ID], *e.Used+1)
		}
	}
}
