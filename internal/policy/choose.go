package policy

import (
	"cmp"
	"slices"

	"latchkey"
)

// Choose returns the policy that rules the user: of those that match, the one
// with the lowest priority, then the first by name; the policy "default" is
// always last. It returns nil where none matches.
func Choose(all []latchkey.Policy, u latchkey.User) *latchkey.Policy {
	var best *latchkey.Policy
	for i := range all {
		if p := &all[i]; p.Users.Match(u) && (best == nil || Compare(*p, *best) < 0) {
			best = p
		}
	}
	return best
}

// Compare orders policies as Choose ranks them.
func Compare(a, b latchkey.Policy) int {
	last := func(p latchkey.Policy) int {
		if p.Name == latchkey.DefaultPolicy {
			return 1
		}
		return 0
	}
	return cmp.Or(cmp.Compare(last(a), last(b)), cmp.Compare(a.Priority, b.Priority), cmp.Compare(a.Name, b.Name))
}

// Sort puts policies in the order in which Choose ranks them.
func Sort(all []latchkey.Policy) { slices.SortFunc(all, Compare) }
