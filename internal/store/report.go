package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"latchkey"
	"latchkey/internal/policy"
	"latchkey/internal/report"
	"latchkey/internal/settings"
	"latchkey/internal/verify"
)

// enrollmentRows are those of a page, with a row for every authenticator of the
// user: only what the page has is looked at twice.
const enrollmentRows = `SELECT p.user_id, p.machine_id, p.enrolled_at, p.synced_at, p.anchor, p.uses, p.header_version,
		p.acked, p.removed_at, p.gives, p.holds, p.name, p.directory, p.disabled, p.member_of, p.host, p.state, p.key_class,
		a.id, a.kind, a.next_use, a.lease_machine, lm.name, a.lease_until
	FROM (SELECT e.user_id, e.machine_id, e.enrolled_at, e.synced_at, e.anchor, e.uses, e.header_version,
		e.acked, e.removed_at, e.gives, e.holds, u.name, u.directory, u.disabled, u.member_of, m.name AS host, m.state, m.key_class,
		u.fold AS user_fold, m.fold AS host_fold
		FROM enrollments e JOIN users u ON u.id = e.user_id JOIN machines m ON m.id = e.machine_id
		WHERE e.enrolled_at IS NOT NULL AND e.wiped_at IS NULL AND m.state <> 'removed'
		AND ($1 = '' OR u.fold = $2 OR u.id = $1) AND ($3 = '' OR m.fold = $4 OR m.id = $3)
		AND (u.fold, u.id, m.fold, m.id) > ($5, $6, $7, $8)
		ORDER BY u.fold, u.id, m.fold, m.id LIMIT $9) p
	LEFT JOIN authenticators a ON a.user_id = p.user_id AND a.removed_at IS NULL
	LEFT JOIN machines lm ON lm.id = a.lease_machine
	ORDER BY p.user_fold, p.user_id, p.host_fold, p.machine_id, a.created_at, a.id`

// EnrollmentRows returns offline enrollments by user and machine, also those
// that a machine has yet to wipe. Empty names choose all. Of a page, whose key
// is folded name and id of both, it returns the rows and one more.
func (db *DB) EnrollmentRows(ctx context.Context, user, machine string, p latchkey.Page) ([]report.Row, error) {
	k := p.Key(4)
	var out []report.Row
	err := db.query(ctx, func(r *sql.Rows) error {
		row, owned, err := scanEnrollmentRow(r)
		if err != nil {
			return err
		}
		if n := len(out); n == 0 || out[n-1].Enrollment.User != row.Enrollment.User || out[n-1].Enrollment.Machine != row.Enrollment.Machine {
			out = append(out, row)
		}
		if owned != nil {
			out[len(out)-1].Owned = append(out[len(out)-1].Owned, *owned)
		}
		return nil
	}, enrollmentRows, user, latchkey.FoldName(user), machine, latchkey.FoldName(machine), k[0], k[1], k[2], k[3], p.Fetch())
	return out, err
}

func scanEnrollmentRow(r scanner) (report.Row, *policy.Owned, error) {
	var row report.Row
	var enrolled, synced, anchor, removed sql.NullInt64
	var groups, gives, holds string
	var a ownedRow
	e, u, m := &row.Enrollment, &row.User, &row.Machine
	err := r.Scan(append([]any{&e.User, &e.Machine, &enrolled, &synced, &anchor, &e.Uses, &e.Version,
		&e.Acked, &removed, &gives, &holds, &u.Name, &u.Directory, &u.Disabled, &groups, &m.Name, &m.State, &m.KeyClass}, a.dest()...)...)
	if err != nil {
		return report.Row{}, nil, err
	}
	if u.Groups, err = groupsOf(e.User, groups); err != nil {
		return report.Row{}, nil, err
	}
	u.ID, m.ID = e.User, e.Machine
	e.EnrolledAt, e.LastSynced, e.Anchor, e.Removed = timeOf(enrolled), timeOf(synced), timeOf(anchor), removed.Valid
	if e.Issued, err = holdingOf(gives); err == nil {
		e.Holds, err = holdingOf(holds)
	}
	if err != nil {
		return report.Row{}, nil, fmt.Errorf("reading what %s was issued of %s: %w", e.Machine, e.User, err)
	}
	return row, a.noun(), nil
}

func groupsOf(u latchkey.UserID, doc string) (groups []string, err error) {
	if err := json.Unmarshal([]byte(doc), &groups); err != nil {
		return nil, fmt.Errorf("reading the groups of %s: %w", u, err)
	}
	return groups, nil
}

// holdingOf reads what a header gives; nil where it is not known.
func holdingOf(doc string) (*latchkey.Holding, error) {
	if doc == "" {
		return nil, nil
	}
	var h latchkey.Holding
	err := json.Unmarshal([]byte(doc), &h)
	return &h, err
}

// An ownedRow is an authenticator and who holds its codes; empty for a user who
// has none.
type ownedRow struct {
	id, kind, lease, host sql.NullString
	next, until           sql.NullInt64
}

func (a *ownedRow) dest() []any {
	return []any{&a.id, &a.kind, &a.next, &a.lease, &a.host, &a.until}
}

func (a *ownedRow) noun() *policy.Owned {
	if !a.id.Valid {
		return nil
	}
	return &policy.Owned{
		ID: latchkey.AuthenticatorID(a.id.String), Kind: latchkey.Kind(a.kind.String), Next: uint64(a.next.Int64),
		LeaseMachine: latchkey.MachineID(a.lease.String), LeaseHost: a.host.String, LeaseUntil: timeOf(a.until),
	}
}

// Standing returns what counts for and against a user on a machine.
func (db *DB) Standing(ctx context.Context, user latchkey.UserID, machine latchkey.MachineID) (settings.Standing, error) {
	var st settings.Standing
	var held []verify.Held
	err := db.query(ctx, func(r *sql.Rows) error {
		var h verify.Held
		var a ownedRow
		var retry sql.NullInt64
		err := r.Scan(append([]any{&h.State.Fails, &retry}, a.dest()...)...)
		h.Kind, h.State.RetryAt = latchkey.Kind(a.kind.String), timeOf(retry)
		held = append(held, h)
		if o := a.noun(); o != nil {
			st.Owned = append(st.Owned, *o)
		}
		return err
	}, `SELECT a.fails, a.retry_at, a.id, a.kind, a.next_use, a.lease_machine, lm.name, a.lease_until
		FROM authenticators a LEFT JOIN machines lm ON lm.id = a.lease_machine
		WHERE a.user_id = $1 AND a.removed_at IS NULL ORDER BY a.created_at, a.id`, string(user))
	if err != nil {
		return st, err
	}
	st.Kinds, st.Locked = verify.Kinds(held), verify.LockedAt(held, db.now())
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
