package store

import (
	"context"
	"database/sql"
	"errors"
	"strconv"
	"time"

	"latchkey"
	"latchkey/internal/fleet"
)

// CreateMachineToken stores an enrollment token.
func (db *DB) CreateMachineToken(ctx context.Context, k fleet.Ticket, e latchkey.Event) error {
	id, err := db.newID("tok")
	if err != nil {
		return err
	}
	e.Detail = with(e.Detail, "token", id)
	return db.InTx(ctx, func(t *Tx) error {
		const insert = `INSERT INTO machine_tokens (id, hash, uses, uses_left, created_by, created_at, expires_at, name_pattern, approve)
			VALUES ($1, $2, $3, $3, $4, $5, $6, $7, $8)`
		return errors.Join(t.exec(insert, id, k.Hash, k.Uses, k.Actor, db.now().UnixMilli(), k.ExpiresAt.UnixMilli(), k.NamePattern, k.Approve),
			t.addEvent(e))
	})
}

// MachineTokens returns the enrollment tokens that are not past their time, the
// oldest first.
func (db *DB) MachineTokens(ctx context.Context) ([]fleet.Ticket, error) {
	var out []fleet.Ticket
	err := db.query(ctx, func(r *sql.Rows) error {
		var k fleet.Ticket
		var made, ends int64
		err := r.Scan(&k.ID, &k.Uses, &k.Left, &k.Actor, &made, &ends, &k.NamePattern, &k.Approve)
		k.CreatedAt, k.ExpiresAt = time.UnixMilli(made).UTC(), time.UnixMilli(ends).UTC()
		out = append(out, k)
		return err
	}, `SELECT id, uses, uses_left, created_by, created_at, expires_at, name_pattern, approve FROM machine_tokens
		WHERE expires_at > $1 ORDER BY created_at, id`, db.now().UnixMilli())
	return out, err
}

// RevokeMachineToken ends an enrollment token before its time.
func (db *DB) RevokeMachineToken(ctx context.Context, id string, e latchkey.Event) error {
	return db.InTx(ctx, func(t *Tx) error {
		return errors.Join(t.one("token", "DELETE FROM machine_tokens WHERE id = $1", id), t.forgetAnswers(), t.addEvent(e))
	})
}

// Join takes a use of a token and stores a machine. A machine whose name
// another one bears waits for approval, and so does each that comes with a token
// which says so. The same key and name again are the
// same machine: its first answer got lost.
func (db *DB) Join(ctx context.Context, hash []byte, m latchkey.Machine, e latchkey.Event) (latchkey.Machine, error) {
	id, err := db.newID("mch")
	if err != nil {
		return latchkey.Machine{}, err
	}
	// Anybody may knock. Who has no token must not cost those who share the commit
	// of his transaction their first try.
	if _, err := db.ticket(db.row(ctx, ticketQuery, hash)); err != nil {
		return latchkey.Machine{}, err
	}
	var joined latchkey.Machine
	err = db.InTx(ctx, func(t *Tx) error {
		token, err := db.ticket(t.row(ticketQuery, hash))
		if err != nil {
			return err
		}
		if joined, err = t.joined(m); err != nil || joined.ID != "" {
			return err
		}
		if !fleet.NameFits(token.pattern, m.Name) {
			return latchkey.Errorf(latchkey.Forbidden, "the enrollment token is for machines of other names").
				WithHint("latchkey-agent enroll --name gives the machine another one")
		}
		if err := t.spend(token); err != nil {
			return err
		}
		joined = m
		joined.ID = latchkey.MachineID(id)
		if joined.State, err = t.stateFor(m.Name, token.approve); err != nil {
			return err
		}
		e.Machine = joined.ID
		e.Detail = with(e.Detail, "token", token.id)
		e.Detail["state"], e.Detail["key_class"] = string(joined.State), string(m.KeyClass)
		return errors.Join(t.insertMachine(joined), t.addEvent(e))
	})
	return joined, err
}

// Told gives a machine's settings their next version.
func (db *DB) Told(ctx context.Context, id latchkey.MachineID) (uint64, error) {
	var version int64
	err := db.InTx(ctx, func(t *Tx) error {
		const next = `UPDATE machines SET version = CASE WHEN version >= $1 THEN version + 1 ELSE $1 END WHERE id = $2 RETURNING version`
		return t.row(next, db.now().UnixMilli(), string(id)).Scan(&version)
	})
	return uint64(version), found(err, "no such machine")
}

type ticketRow struct {
	id      string
	left    int
	pattern string // of names; "" fits all
	approve bool
}

const ticketQuery = "SELECT id, uses_left, expires_at, name_pattern, approve FROM machine_tokens WHERE hash = $1"

// ticket reads a token that is not past its time.
func (db *DB) ticket(row scanner) (ticketRow, error) {
	var k ticketRow
	var expires int64
	err := row.Scan(&k.id, &k.left, &expires, &k.pattern, &k.approve)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return k, latchkey.Errorf(latchkey.Unauthorized, "the enrollment token is not known here")
	case err != nil:
		return k, err
	case !db.now().Before(time.UnixMilli(expires)):
		return k, latchkey.Errorf(latchkey.Expired, "the enrollment token has expired").WithHint("ask for a new one: latchkey machine token create")
	}
	return k, nil
}

func (t *Tx) spend(k ticketRow) error {
	n, err := t.affected("UPDATE machine_tokens SET uses_left = uses_left - 1 WHERE id = $1 AND uses_left > 0", k.id)
	if err == nil && n == 0 {
		err = latchkey.Errorf(latchkey.Exhausted, "the enrollment token is used up").WithHint("ask for a new one: latchkey machine token create")
	}
	return err
}

// joined returns the machine that has the key of m already; none where nobody
// has. A key is good for one machine under one name.
func (t *Tx) joined(m latchkey.Machine) (latchkey.Machine, error) {
	var row machineRow
	err := t.row("SELECT "+machineColumns+" FROM machines m WHERE m.identity_hash = $1", m.IdentityHash).Scan(row.dest()...)
	if errors.Is(err, sql.ErrNoRows) {
		return latchkey.Machine{}, nil
	}
	have := row.noun()
	if err == nil && (have.State == latchkey.Removed || latchkey.FoldName(have.Name) != latchkey.FoldName(m.Name) || string(have.SealingKey) != string(m.SealingKey)) {
		err = latchkey.Errorf(latchkey.Conflict, "this key belongs to another machine, or to one that was removed").
			WithHint("enroll again with an empty state directory, so that new keys are made")
	}
	return have, err
}

// stateFor is the state of a new machine: whoever comes with a name that is
// taken, or with a token that asks for it, has to be looked at.
func (t *Tx) stateFor(name string, approve bool) (latchkey.MachineState, error) {
	if approve {
		return latchkey.Pending, nil
	}
	var n int
	err := t.row("SELECT count(*) FROM machines WHERE fold = $1 AND state IN ('active', 'quarantined')", latchkey.FoldName(name)).Scan(&n)
	if n > 0 {
		return latchkey.Pending, err
	}
	return latchkey.Active, err
}

func (t *Tx) insertMachine(m latchkey.Machine) error {
	const insert = `INSERT INTO machines (id, name, fold, state, mode, unknown_users, match_local, trust_on_enforced,
		os, agent_version, key_class, identity_hash, sealing_key, last_contact, created_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $14)`
	s := m.Settings
	return t.exec(insert, string(m.ID), m.Name, latchkey.FoldName(m.Name), string(m.State), string(s.Mode), string(s.UnknownUsers),
		s.MatchLocal, s.TrustOnEnforced, m.OS, m.AgentVersion, string(m.KeyClass), m.IdentityHash, m.SealingKey, m.CreatedAt.UnixMilli())
}

// ChangeMachine writes the settings of a machine that is not removed.
func (db *DB) ChangeMachine(ctx context.Context, id latchkey.MachineID, s latchkey.MachineSettings, e latchkey.Event) error {
	return db.InTx(ctx, func(t *Tx) error {
		const update = `UPDATE machines SET mode = $1, exempt_until = $2, exempt_reason = $3, unknown_users = $4,
			match_local = $5, trust_on_enforced = $6 WHERE id = $7 AND state <> 'removed'`
		err := t.one("machine", update, string(s.Mode), millis(s.ExemptUntil), s.ExemptReason, string(s.UnknownUsers),
			s.MatchLocal, s.TrustOnEnforced, string(id))
		return errors.Join(err, t.addEvent(e))
	})
}

// ApproveMachine makes a pending or quarantined machine active, and removes
// the one that bore its name before.
func (db *DB) ApproveMachine(ctx context.Context, id latchkey.MachineID, e latchkey.Event) error {
	return db.InTx(ctx, func(t *Tx) error {
		const before = `UPDATE machines SET state = 'removed' WHERE id <> $1 AND state IN ('active', 'quarantined')
			AND fold = (SELECT fold FROM machines WHERE id = $1 AND state = 'pending')`
		n, err := t.affected(before, string(id))
		if err != nil {
			return err
		}
		e := e
		if n > 0 {
			e.Detail = with(e.Detail, "replaces", "the machine of the same name")
		}
		// A quarantined ledger may have been rolled back: the next report begins
		// a new count of generations and a new history, and its floors count. What it
		// was told by a database that is lost it may speak of from now on.
		const approve = `UPDATE machines SET state = 'active', quarantine = '', generation = 0, report_hash = '', floors_due = TRUE,
			ahead_at = CASE WHEN ahead_at IS NOT NULL THEN CAST($2 AS BIGINT) END
			WHERE id = $1 AND state IN ('pending', 'quarantined')`
		if n, err = t.affected(approve, string(id), t.db.now().UnixMilli()); err == nil && n != 1 {
			err = latchkey.Errorf(latchkey.Conflict, "the machine is neither pending nor quarantined")
		}
		if err != nil {
			return err
		}
		if err := t.exec("DELETE FROM told WHERE machine_id = $1", string(id)); err != nil {
			return err // what it says from now on is new
		}
		if n, err = t.believe(id); err == nil && n > 0 {
			e.Detail = with(e.Detail, "counters_raised", strconv.FormatInt(n, 10))
		}
		return errors.Join(err, t.endLeases(), t.addEvent(e))
	})
}

// RemoveMachine ends a machine: nothing is issued to it, and HOTP codes may go
// to another.
func (db *DB) RemoveMachine(ctx context.Context, id latchkey.MachineID, e latchkey.Event) error {
	return db.InTx(ctx, func(t *Tx) error {
		n, err := t.affected("UPDATE machines SET state = 'removed' WHERE id = $1 AND state <> 'removed'", string(id))
		if err == nil && n != 1 {
			err = latchkey.Errorf(latchkey.Conflict, "the machine is removed already")
		}
		return errors.Join(err, t.endLeases(), t.addEvent(e))
	})
}
