package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"sync"

	"latchkey"
)

// A policyCache keeps the policies as they were at a revision: every login
// asks for them, and they change a few times a year. It is right across
// processes, because the revision is read with the facts of each login.
type policyCache struct {
	mu       sync.RWMutex
	revision int64
	all      []latchkey.Policy
}

// policiesAt returns the policies of a revision. The list is shared: nobody
// changes it.
func (db *DB) policiesAt(ctx context.Context, revision int64) ([]latchkey.Policy, error) {
	c := &db.policies
	c.mu.RLock()
	have, all := c.revision, c.all
	c.mu.RUnlock()
	if have == revision && have != 0 {
		return all, nil
	}
	fresh, err := db.Policies(ctx)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.revision, c.all = revision, fresh
	c.mu.Unlock()
	return fresh, nil
}

// Policies reads every policy, in no order of meaning; policy.Sort ranks them.
func (db *DB) Policies(ctx context.Context) ([]latchkey.Policy, error) {
	var all []latchkey.Policy
	err := db.query(ctx, func(r *sql.Rows) error {
		var name, document string
		if err := r.Scan(&name, &document); err != nil {
			return err
		}
		var p latchkey.Policy
		if err := json.Unmarshal([]byte(document), &p); err != nil {
			return fmt.Errorf("reading policy %q: %w", name, err)
		}
		all = append(all, p)
		return nil
	}, "SELECT name, document FROM policies ORDER BY name")
	return all, err
}

// putPolicy writes one policy and raises the revision.
func (t *Tx) putPolicy(p latchkey.Policy) error {
	document, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("writing policy %q: %w", p.Name, err)
	}
	const upsert = `INSERT INTO policies (name, fold, priority, document, updated_at) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (fold) DO UPDATE SET name = excluded.name, priority = excluded.priority,
		document = excluded.document, updated_at = excluded.updated_at`
	if err := t.exec(upsert, p.Name, latchkey.FoldName(p.Name), p.Priority, string(document), t.db.now().UnixMilli()); err != nil {
		return err
	}
	return t.policiesChanged()
}

// policiesChanged must be called by whatever changes a policy.
func (t *Tx) policiesChanged() error {
	return t.exec("UPDATE revisions SET value = value + 1 WHERE name = 'policies'")
}

// makeDefaultPolicy ships the policy "default" with a new database.
func (db *DB) makeDefaultPolicy(ctx context.Context) error {
	return db.InTx(ctx, func(t *Tx) error {
		n, err := t.affected("INSERT INTO meta (name, value) VALUES ('default_policy', 'made') ON CONFLICT (name) DO NOTHING")
		if err != nil || n == 0 {
			return err
		}
		if err := t.putPolicy(latchkey.BuiltinPolicy()); err != nil {
			return err
		}
		return t.addEvent(latchkey.Event{Kind: latchkey.PolicySet, Actor: "server", Detail: map[string]string{"policy": latchkey.DefaultPolicy}})
	})
}
