package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"latchkey"
	"latchkey/internal/audit"
)

// Events returns the newest events that a query chooses, newest first: in the
// order of writing, because a machine reports late what happened early.
func (db *DB) Events(ctx context.Context, q audit.Query) ([]latchkey.Event, error) {
	const query = `SELECT id, time, kind, actor, user_id, user_name, machine_id, host, outcome, reason,
			offline, scenario, logon, detail
		FROM events
		WHERE ($1 = '' OR user_name = $1 OR user_id IN (SELECT id FROM users WHERE fold = $2))
		AND ($3 = '' OR host = $3 OR machine_id IN (SELECT id FROM machines WHERE fold = $4))
		AND ($5 = '' OR kind = $5) AND time >= $6 AND ($7 = '' OR id < $7)
		ORDER BY id DESC LIMIT $8`
	since := int64(0)
	if !q.Since.IsZero() {
		since = q.Since.UnixMilli()
	}
	var out []latchkey.Event
	err := db.query(ctx, func(r *sql.Rows) error {
		e, err := scanEvent(r)
		out = append(out, e)
		return err
	}, query, q.User, latchkey.FoldName(q.User), q.Machine, latchkey.FoldName(q.Machine), q.Kind, since, q.BeforeID, q.Limit)
	return out, err
}

func scanEvent(row scanner) (latchkey.Event, error) {
	var e latchkey.Event
	var at int64
	var detail string
	err := row.Scan(&e.ID, &at, &e.Kind, &e.Actor, &e.User, &e.UserName, &e.Machine, &e.Host, &e.Outcome, &e.Reason,
		&e.Offline, &e.Scenario, &e.Logon, &detail)
	if err != nil {
		return latchkey.Event{}, err
	}
	e.Time = time.UnixMilli(at).UTC()
	if err := json.Unmarshal([]byte(detail), &e.Detail); err != nil {
		return latchkey.Event{}, fmt.Errorf("reading event %s: %w", e.ID, err)
	}
	return e, nil
}
