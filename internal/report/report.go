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
	Owned      []policy.Owned // that were not removed
}

// Store is the part of the database that report needs.
type Store interface {
	// EnrollmentRows returns offline enrollments by user and machine name,
	// also those that machines have yet to wipe. Empty names choose all. Of a
	// page, whose key is folded name and id of both, it returns the rows and one
	// more.
	EnrollmentRows(ctx context.Context, user, machine string, p latchkey.Page) ([]Row, error)
	// TokenUse returns what was done with hardware tokens since, for everybody
	// who has one, by name: of a page, whose key is folded name and id, its rows
	// and one more. An empty user chooses all.
	TokenUse(ctx context.Context, user string, since time.Time, p latchkey.Page) ([]TokenUse, error)
	// Policies returns every policy, in any order.
	Policies(ctx context.Context) ([]latchkey.Policy, error)
}

// Report asks the store.
type Report struct {
	store Store
	now   func() time.Time
}

// New returns the reports over store.
func New(store Store, now func() time.Time) *Report { return &Report{store, now} }

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
		out = append(out, stand(row, policy.Choose(all, row.User), r.now()).shown())
	}
	return out, next, nil
}

func key(r Row) []string {
	u, m := r.User, r.Machine
	return []string{latchkey.FoldName(u.Name), string(u.ID), latchkey.FoldName(m.Name), string(m.ID)}
}

func (s standing) shown() api.Enrollment {
	e := s.row.Enrollment
	out := api.Enrollment{
		User: s.row.User.Name, Machine: s.row.Machine.Name, EnrolledAt: e.EnrolledAt.UTC(), LastSynced: at(e.LastSynced),
		Pending: s.pending(), Authenticators: []latchkey.Kind{}, NotReady: s.notReady(),
	}
	out.Ready = out.NotReady == ""
	for _, t := range s.confirmed.Tokens {
		left, counted := s.codes(t)
		if counted {
			out.Tokens = append(out.Tokens, api.TokenCodes{ID: t.ID, CodesLeft: left})
		}
		if left > 0 || !counted {
			out.Authenticators = append(out.Authenticators, t.Kind)
		}
	}
	most := s.most()
	out.ValidUntil = at(most.Until)
	if left, counted := s.left(most); counted {
		out.LoginsLeft = &left
	}
	return out
}

// at is nil for a time that never was.
func at(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	u := t.UTC()
	return &u
}
