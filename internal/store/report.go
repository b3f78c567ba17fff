package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"latchkey"
	"latchkey/internal/report"
	"latchkey/internal/settings"
	"latchkey/internal/verify"
)

const enrollmentRows = `SELECT e.user_id, e.machine_id, e.enrolled_at, e.synced_at, e.anchor, e.uses, e.header_version,
		e.acked, e.removed_at, u.name, u.directory, u.disabled, u.member_of, m.name, m.state, m.key_class
	FROM enrollments e JOIN users u ON u.id = e.user_id JOIN machines m ON m.id = e.machine_id
	WHERE e.enrolled_at IS NOT NULL AND e.wiped_at IS NULL AND m.state <> 'removed'
	AND ($1 = '' OR u.fold = $2 OR u.id = $1) AND ($3 = '' OR m.fold = $4 OR m.id = $3)
	AND (u.fold, u.id, m.fold, m.id) > ($5, $6, $7, $8)
	ORDER BY u.fold, u.id, m.fold, m.id LIMIT $9`

// EnrollmentRows returns offline enrollments by user and machine, also those
// that a machine has yet to wipe. Empty names choose all. Of a page, whose key
// is folded name and id of both, it returns the rows and one more.
func (db *DB) EnrollmentRows(ctx context.Context, user, machine string, p latchkey.Page) ([]report.Row, error) {
	k := p.Key(4)
	var out []report.Row
	err := db.query(ctx, func(r *sql.Rows) error {
		row, err := scanEnrollmentRow(r)
		out = append(out, row)
		return err
	}, enrollmentRows, user, latchkey.FoldName(user), machine, latchkey.FoldName(machine), k[0], k[1], k[2], k[3], p.Fetch())
	return out, err
}

func scanEnrollmentRow(r scanner) (report.Row, error) {
	var row report.Row
	var enrolled, synced, anchor, removed sql.NullInt64
	var groups string
	e, u, m := &row.Enrollment, &row.User, &row.Machine
	err := r.Scan(&e.User, &e.Machine, &enrolled, &synced, &anchor, &e.Uses, &e.Version,
		&e.Acked, &removed, &u.Name, &u.Directory, &u.Disabled, &groups, &m.Name, &m.State, &m.KeyClass)
	if err != nil {
		return report.Row{}, err
	}
	if err := json.Unmarshal([]byte(groups), &u.Groups); err != nil {
		return report.Row{}, fmt.Errorf("reading the groups of %s: %w", e.User, err)
	}
	u.ID, m.ID = e.User, e.Machine
	e.EnrolledAt, e.LastSynced, e.Anchor, e.Removed = timeOf(enrolled), timeOf(synced), timeOf(anchor), removed.Valid
	return row, nil
}

// Standing returns what counts for and against a user on a machine.
func (db *DB) Standing(ctx context.Context, user latchkey.UserID, machine latchkey.MachineID) (settings.Standing, error) {
	var st settings.Standing
	var held []verify.Held
	err := db.query(ctx, func(r *sql.Rows) error {
		var h verify.Held
		err := r.Scan(&h.Kind, &h.State.Fails)
		held = append(held, h)
		return err
	}, "SELECT kind, fails FROM authenticators WHERE user_id = $1 AND removed_at IS NULL ORDER BY created_at", string(user))
	if err != nil {
		return st, err
	}
	st.Kinds, st.Locked = verify.Kinds(held), verify.LockedOut(held)
	rows, err := db.EnrollmentRows(ctx, string(user), string(machine), latchkey.Page{})
	if err != nil {
		return st, err
	}
	for _, r := range rows {
		if r.Enrollment.User == user && r.Enrollment.Machine == machine {
			st.Enrollment = &r.Enrollment
		}
	}
	return st, nil
}
