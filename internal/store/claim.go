package store

import (
	"database/sql"
	"errors"
	"maps"
	"slices"
	"time"

	"latchkey"
	"latchkey/internal/authn"
	"latchkey/internal/fleet"
	"latchkey/internal/otp"
)

// counters raises what a report raises, and notes what it claims. Each keeps the
// authenticator's row to the end of the transaction: a login with it waits, or is
// stored already.
func (t *Tx) counters(m fleet.Merger) error {
	for _, id := range slices.Sorted(maps.Keys(m.Raise)) {
		const raise = `UPDATE authenticators SET next_use = $1,
			last_used = CASE WHEN last_used > $2 THEN last_used ELSE coalesce($2, last_used) END WHERE id = $3 AND next_use < $1`
		if err := t.exec(raise, int64(m.Raise[id]), lastUse(m, id), string(id)); err != nil {
			return err
		}
	}
	for _, id := range slices.Sorted(maps.Keys(m.Claims)) {
		const claim = "UPDATE authenticators SET claimed = CASE WHEN claimed > $1 THEN claimed ELSE $1 END WHERE id = $2"
		if err := t.exec(claim, int64(m.Claims[id]), string(id)); err != nil {
			return err
		}
	}
	return t.burn(m)
}

// lastUse is when a report says that an authenticator was used last; nil where it
// does not say.
func lastUse(m fleet.Merger, id latchkey.AuthenticatorID) any {
	var at time.Time
	for _, e := range m.Events {
		if e.Credential == id && e.Used != nil {
			at = e.Time // they are in their order
		}
	}
	return millis(at)
}

// stillFirst races where a code that nobody had used when the report was judged has
// been used since: the judge must hear of it.
func (t *Tx) stillFirst(m fleet.Merger) error {
	for _, e := range m.Events {
		if !e.First {
			continue
		}
		var one int
		err := t.row("SELECT 1 FROM events WHERE credential = $1 AND used = $2 LIMIT 1", string(e.Credential), int64(*e.Used)).Scan(&one)
		if err == nil {
			return fleet.ErrRaced
		}
		if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
	}
	return nil
}

// double writes the incident where a code that is accepted now was used for
// another login before: some machine said so, and was not believed.
func (t *Tx) double(s authn.Settlement) error {
	d := fleet.Double{Event: s.Event, Number: s.Used.Number, After: fleet.Use{Logon: s.Event.Logon, Host: s.Event.Host}}
	d.Code.ID = s.Used.Credential
	err := t.row(`SELECT a.kind, e.logon, e.host, coalesce(m.state, '') = 'quarantined' FROM events e
		JOIN authenticators a ON a.id = e.credential LEFT JOIN machines m ON m.id = e.machine_id
		WHERE e.credential = $1 AND e.used = $2 AND e.logon <> $3 ORDER BY e.time, e.id LIMIT 1`,
		string(s.Used.Credential), int64(s.Used.Number), s.Event.Logon).
		Scan(&d.Code.Kind, &d.Before.Logon, &d.Before.Host, &d.Before.Doubted)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	return t.addEvent(d.Incident(s.Now, "server"))
}

// believe raises the counters to what a machine reported while nobody believed
// it: an administrator does now. It raises nothing beyond what the machine was
// handed, and returns how many it raised.
func (t *Tx) believe(id latchkey.MachineID) (raised int64, err error) {
	type reach struct {
		token, kind string
		period      int
		next        int64
	}
	var all []reach
	err = t.query(func(r *sql.Rows) error {
		var c reach
		err := r.Scan(&c.token, &c.kind, &c.period, &c.next)
		all = append(all, c)
		return err
	}, `SELECT a.id, a.kind, a.period, max(e.used) + 1 FROM events e JOIN authenticators a ON a.id = e.credential
		JOIN handouts h ON h.authenticator_id = a.id AND h.machine_id = e.machine_id
		WHERE e.machine_id = $1 AND e.seq IS NOT NULL AND e.used < h.handed
		GROUP BY a.id, a.kind, a.period ORDER BY a.id`, string(id))
	for _, c := range all {
		if latchkey.Kind(c.kind) == latchkey.TOTP {
			c.next = min(c.next, int64(otp.Step(t.db.now(), c.period))+TOTPWindow+1)
		}
		n, failed := t.affected("UPDATE authenticators SET next_use = $1 WHERE id = $2 AND next_use < $1", c.next, c.token)
		raised, err = raised+n, errors.Join(err, failed)
	}
	return raised, err
}
