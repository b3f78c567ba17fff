// Package settings keeps the policies: it reads documents, merges them by
// name, lists, deletes and explains them.
//
// It refuses documents that could be read in two ways and policies that could
// not be meant; it decides no logon itself, but asks package policy as logons
// do.
package settings

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"latchkey"
	"latchkey/internal/policy"
)

// Store is the part of the database that settings needs.
type Store interface {
	// Policies returns every stored policy, in any order.
	Policies(ctx context.Context) ([]latchkey.Policy, error)
	// EditPolicies calls edit with every stored policy and stores those that
	// it returns, all of them or none. One event of the kind PolicySet is
	// written for each, like e but naming the policy.
	EditPolicies(ctx context.Context, e latchkey.Event, edit func(stored []latchkey.Policy) ([]latchkey.Policy, error)) error
	// DeletePolicy returns NotFound where no policy has the name, and the error
	// of check, which sees every stored policy first.
	DeletePolicy(ctx context.Context, name string, e latchkey.Event, check func(stored []latchkey.Policy) error) error
	Subject
}

// Settings are the policies of a deployment.
type Settings struct {
	store Store
	now   func() time.Time
}

// New returns the settings kept in store.
func New(store Store, now func() time.Time) *Settings { return &Settings{store, now} }

// MaxPolicies is how many policies there can be: each login looks at all of them,
// and each change reads them.
const MaxPolicies = 1000

var errTooMany = latchkey.Errorf(latchkey.Invalid, "there would be more than %d policies", MaxPolicies).
	WithHint("let one policy cover a group, and delete those that nobody needs")

// errNoPolicy: the API repeats no input, so the caller adds the name.
var errNoPolicy = latchkey.Errorf(latchkey.NotFound, "no such policy").WithHint("latchkey policy list shows the names")

// Set merges one document or a list of documents into the stored policies, by
// name: fields that a document lacks keep their value, in a new policy that of
// the built-in one. All are stored or none. It returns the policies as they
// are now.
//
// tag, where it is not empty, is what the policies were when their editor read
// them: of the list or, where the document is one policy, of that policy. Set
// returns Conflict where they are others by now.
func (s *Settings) Set(ctx context.Context, actor string, document []byte, tag string) ([]latchkey.Policy, error) {
	changes, err := parse(document)
	if err != nil {
		return nil, err
	}
	var set []latchkey.Policy
	event := latchkey.Event{Time: s.now(), Kind: latchkey.PolicySet, Actor: actor}
	err = s.store.EditPolicies(ctx, event, func(stored []latchkey.Policy) ([]latchkey.Policy, error) {
		if err := fresh(stored, namesOf(changes), tag); err != nil {
			return nil, err
		}
		set, err = apply(stored, changes)
		return set, err
	})
	if err != nil {
		return nil, err
	}
	return set, nil
}

// Tag names the content of a policy or a list of policies, as an entity tag
// (RFC 9110 section 8.8.3).
func Tag(v any) (string, error) {
	doc, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("naming policies: %w", err)
	}
	sum := sha256.Sum256(doc)
	return `"` + hex.EncodeToString(sum[:16]) + `"`, nil
}

// fresh refuses an edit of what somebody else has edited since it was read.
func fresh(stored []latchkey.Policy, names []string, tag string) error {
	if tag == "" {
		return nil
	}
	now := sorted(stored)
	list, err := Tag(now)
	if err != nil || tag == list {
		return err
	}
	if i := indexOf(now, names[0]); len(names) == 1 && i >= 0 {
		one, err := Tag(now[i])
		if err != nil || tag == one {
			return err
		}
	}
	return latchkey.Errorf(latchkey.Conflict, "somebody else changed this meanwhile").WithHint("read it again, and make your change anew")
}

func namesOf(changes []change) []string {
	var out []string
	for _, c := range changes {
		out = append(out, c.name)
	}
	return out
}

// sorted are policies as they are shown, in the order in which they are tried.
func sorted(all []latchkey.Policy) []latchkey.Policy {
	out := make([]latchkey.Policy, 0, len(all))
	for _, p := range all {
		out = append(out, tidy(p))
	}
	policy.Sort(out)
	return out
}

func apply(stored []latchkey.Policy, changes []change) ([]latchkey.Policy, error) {
	old := make(map[string]latchkey.Policy, len(stored))
	for _, p := range stored {
		old[latchkey.FoldName(p.Name)] = p
	}
	out, more := make([]latchkey.Policy, 0, len(changes)), 0
	for _, c := range changes {
		base, known := old[latchkey.FoldName(c.name)]
		if !known {
			base, more = latchkey.BuiltinPolicy(), more+1
			base.Name = c.name
		}
		p, err := merge(base, c)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	if more > 0 && len(stored)+more > MaxPolicies { // where there are more already, they can be changed
		return nil, errTooMany
	}
	return out, nil
}

func indexOf(all []latchkey.Policy, name string) int {
	return slices.IndexFunc(all, func(p latchkey.Policy) bool { return latchkey.FoldName(p.Name) == latchkey.FoldName(name) })
}

// List returns every policy in the order in which they are tried.
func (s *Settings) List(ctx context.Context) ([]latchkey.Policy, error) {
	all, err := s.store.Policies(ctx)
	if err != nil {
		return nil, err
	}
	return sorted(all), nil
}

// Show returns one policy.
func (s *Settings) Show(ctx context.Context, name string) (latchkey.Policy, error) {
	all, err := s.List(ctx)
	if err != nil {
		return latchkey.Policy{}, err
	}
	if i := indexOf(all, name); i >= 0 {
		return all[i], nil
	}
	return latchkey.Policy{}, errNoPolicy
}

// Delete removes a policy. The policy "default" stays: without it users whom
// nothing else covers would not be asked at all. tag is as in Set.
func (s *Settings) Delete(ctx context.Context, actor, name, tag string) error {
	if latchkey.FoldName(name) == latchkey.FoldName(latchkey.DefaultPolicy) {
		return latchkey.Errorf(latchkey.Conflict, "the policy default cannot be deleted").
			WithHint("change it with latchkey policy set")
	}
	p, err := s.Show(ctx, name)
	if err != nil {
		return err
	}
	return s.store.DeletePolicy(ctx, p.Name, latchkey.Event{
		Time: s.now(), Kind: latchkey.PolicyDeleted, Actor: actor, Detail: map[string]string{"policy": p.Name},
	}, func(stored []latchkey.Policy) error { return fresh(stored, []string{p.Name}, tag) })
}

// Remarks are what a policy deserves a second look for, at this moment.
func (s *Settings) Remarks(p latchkey.Policy) []string {
	if p.LogOnly == nil || s.now().Before(*p.LogOnly) {
		return policy.Lint(p)
	}
	past := p
	past.LogOnly = nil
	return append(policy.Lint(past), "log_only_until is past: logons are asked, as if it were not set")
}

// Check parses and validates documents against the built-in policy without
// storing anything, and returns what it would remark on.
func Check(document []byte) ([]string, error) {
	changes, err := parse(document)
	if err != nil {
		return nil, err
	}
	set, err := apply(nil, changes)
	if err != nil {
		return nil, err
	}
	notes := []string{}
	for _, p := range set {
		for _, n := range policy.Lint(p) {
			notes = append(notes, strings.Join([]string{p.Name, n}, ": "))
		}
	}
	return notes, nil
}
