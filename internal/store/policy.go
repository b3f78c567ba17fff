package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"maps"

	"latchkey"
)

// EditPolicies calls edit with every policy and stores those that it returns,
// all of them or none, each with an event like e that names the policy. What
// edit reads cannot change before what it returns is stored.
func (db *DB) EditPolicies(ctx context.Context, e latchkey.Event, edit func(stored []latchkey.Policy) ([]latchkey.Policy, error)) error {
	return db.InTx(ctx, func(t *Tx) error {
		stored, err := t.policies()
		if err != nil {
			return err
		}
		changed, err := edit(stored)
		if err != nil {
			return err
		}
		for _, p := range changed {
			if err := t.putPolicy(p); err != nil {
				return err
			}
			if err := t.addEvent(ofPolicy(e, p.Name)); err != nil {
				return err
			}
		}
		return nil
	})
}

func ofPolicy(e latchkey.Event, name string) latchkey.Event {
	detail := map[string]string{"policy": name}
	maps.Copy(detail, e.Detail)
	e.Detail = detail
	return e
}

func (t *Tx) policies() ([]latchkey.Policy, error) {
	var all []latchkey.Policy
	err := t.query(func(r *sql.Rows) error {
		var document string
		if err := r.Scan(&document); err != nil {
			return err
		}
		var p latchkey.Policy
		if err := json.Unmarshal([]byte(document), &p); err != nil {
			return fmt.Errorf("reading a policy: %w", err)
		}
		all = append(all, p)
		return nil
	}, "SELECT document FROM policies ORDER BY name")
	return all, err
}

// DeletePolicy removes a policy, unless check has something against it. It
// returns NotFound where there is none of that name.
func (db *DB) DeletePolicy(ctx context.Context, name string, e latchkey.Event, check func(stored []latchkey.Policy) error) error {
	return db.InTx(ctx, func(t *Tx) error {
		stored, err := t.policies()
		if err != nil {
			return err
		}
		if err := check(stored); err != nil {
			return err
		}
		if err := t.one("policy", "DELETE FROM policies WHERE fold = $1", latchkey.FoldName(name)); err != nil {
			return err
		}
		if err := t.policiesChanged(); err != nil {
			return err
		}
		return t.addEvent(e)
	})
}
