// Package audit shows the audit trail: who did what, when, and how it ended.
//
// It refuses to write: every line is written by the change that it tells of.
package audit

import (
	"context"
	"slices"
	"time"

	"latchkey"
	"latchkey/internal/api"
)

// How many lines one question is answered with: at most, and where it does not
// say.
const (
	MaxLines = 1000
	Lines    = 100
)

// A Query chooses lines; zero fields choose all.
type Query struct {
	Limit    int       // newest lines, 1 to MaxLines; 0 means Lines
	User     string    // by name, in any case
	Machine  string    // by name, in any case
	Kind     string    // an event kind
	Since    time.Time // lines at or after
	BeforeID string    // lines older than this one: the next page
}

// Store is the part of the database that audit needs.
type Store interface {
	// Events returns the newest events that the query chooses, newest first.
	Events(ctx context.Context, q Query) ([]latchkey.Event, error)
}

// Audit is the audit trail of a deployment.
type Audit struct{ store Store }

// New returns the trail kept in store.
func New(store Store) *Audit { return &Audit{store} }

// List returns the newest lines that the query chooses, oldest first, as a
// trail is read.
func (a *Audit) List(ctx context.Context, q Query) ([]api.Event, error) {
	if q.Limit == 0 {
		q.Limit = Lines
	}
	if q.Limit < 1 || q.Limit > MaxLines {
		return nil, latchkey.Errorf(latchkey.Invalid, "limit must be 1 to %d", MaxLines)
	}
	events, err := a.store.Events(ctx, q)
	if err != nil {
		return nil, err
	}
	out := make([]api.Event, 0, len(events))
	for _, e := range events {
		out = append(out, shown(e))
	}
	slices.Reverse(out)
	return out, nil
}

func shown(e latchkey.Event) api.Event {
	return api.Event{
		ID: e.ID, Time: e.Time.UTC(), Kind: e.Kind, Actor: e.Actor, User: e.UserName, Machine: e.Host,
		Outcome: e.Outcome, Reason: e.Reason, Offline: e.Offline, Scenario: e.Scenario, Logon: e.Logon, Detail: e.Detail,
	}
}
