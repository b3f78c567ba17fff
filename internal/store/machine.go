package store

import (
	"context"
	"database/sql"
	"errors"

	"latchkey"
)

const machineColumns = `m.id, m.name, m.state, m.mode, m.exempt_until, m.exempt_reason, m.unknown_users, m.match_local,
	m.trust_on_enforced, m.os, m.agent_version, m.key_class, m.identity_hash, m.sealing_key, m.last_contact, m.created_at`

type machineRow struct {
	m                             latchkey.Machine
	exemptUntil, contact, created sql.NullInt64
}

func (r *machineRow) dest() []any {
	m, s := &r.m, &r.m.Settings
	return []any{
		&m.ID, &m.Name, &m.State, &s.Mode, &r.exemptUntil, &s.ExemptReason, &s.UnknownUsers, &s.MatchLocal,
		&s.TrustOnEnforced, &m.OS, &m.AgentVersion, &m.KeyClass, &m.IdentityHash, &m.SealingKey, &r.contact, &r.created,
	}
}

func (r *machineRow) noun() latchkey.Machine {
	m := r.m
	m.Settings.ExemptUntil, m.LastContact, m.CreatedAt = timeOf(r.exemptUntil), timeOf(r.contact), timeOf(r.created)
	return m
}

// Machines lists every machine that is not removed by name: of a page, whose key
// is folded name and id, its rows and one more.
func (db *DB) Machines(ctx context.Context, p latchkey.Page) ([]latchkey.Machine, error) {
	k := p.Key(2)
	var out []latchkey.Machine
	err := db.query(ctx, func(r *sql.Rows) error {
		var row machineRow
		err := r.Scan(row.dest()...)
		out = append(out, row.noun())
		return err
	}, "SELECT "+machineColumns+` FROM machines m
		WHERE m.state <> 'removed' AND (m.fold > $1 OR m.fold = $1 AND m.id > $2) ORDER BY m.fold, m.id LIMIT $3`, k[0], k[1], p.Fetch())
	return out, err
}

// Machine returns a machine by id, or an error with the code NotFound.
func (db *DB) Machine(ctx context.Context, id latchkey.MachineID) (latchkey.Machine, error) {
	var row machineRow
	err := db.row(ctx, "SELECT "+machineColumns+" FROM machines m WHERE m.id = $1", string(id)).Scan(row.dest()...)
	return row.noun(), found(err, "no such machine")
}

// MachineNamed returns the machine that bears a name: the one in use, else the
// one that waits for approval. An error with the code NotFound where there is
// none.
func (db *DB) MachineNamed(ctx context.Context, name string) (latchkey.Machine, error) {
	var row machineRow
	err := db.row(ctx, "SELECT "+machineColumns+` FROM machines m WHERE m.fold = $1 AND m.state <> 'removed'
		ORDER BY CASE WHEN m.state = 'pending' THEN 1 ELSE 0 END, m.created_at DESC LIMIT 1`, latchkey.FoldName(name)).Scan(row.dest()...)
	return row.noun(), found(err, "no such machine")
}

// MachineByKey returns the id of the machine with an identity key, by the
// SHA-256 of its SubjectPublicKeyInfo. An error with the code Unauthorized
// where there is none. A key names one machine for good, removed or not, so
// what was found once is kept.
func (db *DB) MachineByKey(ctx context.Context, spki []byte) (latchkey.MachineID, error) {
	if id, ok := db.keys.Load(string(spki)); ok {
		return id.(latchkey.MachineID), nil
	}
	var id latchkey.MachineID
	err := db.row(ctx, "SELECT id FROM machines WHERE identity_hash = $1", spki).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return "", latchkey.Errorf(latchkey.Unauthorized, "unknown machine")
	}
	if err != nil {
		return "", err
	}
	db.keys.Store(string(spki), id)
	return id, nil
}
