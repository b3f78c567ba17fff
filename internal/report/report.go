// Package report answers the questions that administrators and auditors ask of
// the whole fleet: who can log in offline where, until when.
//
// It refuses to change anything.
package report

import (
	"context"
	"time"

	"latchkey"
	"latchkey/internal/api"
	"latchkey/internal/policy"
)

// A Row is one user on one machine, with all that its limits depend on.
type Row struct {
	Enrollment latchkey.Enrollment
	User       latchkey.User
	Machine    latchkey.Machine
}

// Store is the part of the database that report needs.
type Store interface {
	// EnrollmentRows returns offline enrollments by user and machine name,
	// also those that machines have yet to wipe. Empty names choose all. Of a
	// page, whose key is folded name and id of both, it returns the rows and one
	// more.
	EnrollmentRows(ctx context.Context, user, machine string, p latchkey.Page) ([]Row, error)
	// Policies returns every policy, in any order.
	Policies(ctx context.Context) ([]latchkey.Policy, error)
}

// What a machine has not acknowledged yet.
const (
	PendingIssue   = "issue"   // it has not confirmed the newest bundle
	PendingRemoval = "removal" // it has not confirmed that it wiped the bundle
)

// Report asks the store.
type Report struct{ store Store }

// New returns the reports over store.
func New(store Store) *Report { return &Report{store} }

// OfflineEnrollments lists who can log in offline where. Empty names choose
// all; a name that nobody has chooses nothing. next is the key that the next
// page begins after; nil where there is none.
func (r *Report) OfflineEnrollments(ctx context.Context, user, machine string, p latchkey.Page) (page []api.Enrollment, next []string, err error) {
	rows, err := r.store.EnrollmentRows(ctx, user, machine, p)
	if err != nil {
		return nil, nil, err
	}
	all, err := r.store.Policies(ctx)
	if err != nil {
		return nil, nil, err
	}
	rows, next = latchkey.Cut(p, rows, key)
	out := make([]api.Enrollment, 0, len(rows))
	for _, row := range rows {
		out = append(out, shown(row, policy.Choose(all, row.User)))
	}
	return out, next, nil
}

func key(r Row) []string {
	u, m := r.User, r.Machine
	return []string{latchkey.FoldName(u.Name), string(u.ID), latchkey.FoldName(m.Name), string(m.ID)}
}

func shown(r Row, p *latchkey.Policy) api.Enrollment {
	out := api.Enrollment{
		User: r.User.Name, Machine: r.Machine.Name, EnrolledAt: r.Enrollment.EnrolledAt.UTC(),
		LastSynced: at(r.Enrollment.LastSynced), Pending: pending(r.Enrollment),
	}
	if p == nil || r.Enrollment.Removed {
		none := 0
		out.LoginsLeft = &none
		return out
	}
	limit := p.Limit(r.Machine.KeyClass)
	if limit.Counted {
		left := max(0, limit.Logins-r.Enrollment.Uses)
		out.LoginsLeft = &left
	}
	if !r.Enrollment.Anchor.IsZero() {
		out.ValidUntil = at(r.Enrollment.Anchor.Add(time.Duration(limit.Days) * 24 * time.Hour))
	}
	return out
}

func pending(e latchkey.Enrollment) string {
	switch {
	case e.Removed:
		return PendingRemoval
	case e.Acked < e.Version:
		return PendingIssue
	}
	return ""
}

// at is nil for a time that never was.
func at(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	u := t.UTC()
	return &u
}
