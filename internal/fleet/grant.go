package fleet

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"

	"latchkey"
	"latchkey/internal/bundle"
)

// A Grant is what a header gives a user on a machine: the digest of the policy
// that it names, and the authenticators whose codes the machine may hold. In
// front of them stands a word where an earlier header gave more that the machine
// may hold still.
type Grant string

// The grants of headers that give nothing, and of those whose grant was not
// noted when they were issued.
const (
	notNoted  Grant = ""
	nothing   Grant = "nothing"   // a status: disabled, or to be wiped
	withdrawn Grant = "withdrawn" // see withdraw
)

const narrower = "narrower "

func (p *plan) grant() Grant {
	switch {
	case p.header.Status != bundle.Active:
		return nothing
	case p.held:
		return withdrawn
	}
	doc, err := json.Marshal(p.header.Policy)
	if err != nil {
		return notNoted
	}
	sum := sha256.Sum256(doc)
	words := []string{hex.EncodeToString(sum[:])}
	for _, id := range p.may {
		words = append(words, string(id))
	}
	return Grant(strings.Join(words, " "))
}

// exceeds reports whether g gives anything that now does not, or that another
// policy gives: which of two policies is the stricter one nobody has to know.
func (g Grant) exceeds(now Grant) bool {
	had, has := g.words(), now.words()
	if len(had) == 0 || len(has) == 0 || had[0] != has[0] {
		return true
	}
	return slices.ContainsFunc(had[1:], func(id string) bool { return !slices.Contains(has[1:], id) })
}

func (g Grant) words() []string { return strings.Fields(strings.TrimPrefix(string(g), narrower)) }

// noted is the grant as it is stored with a header that is issued.
func (m *Member) noted(p *plan) Grant {
	g := p.grant()
	if g == nothing || g == withdrawn || m.Version == 0 {
		return g
	}
	if m.mayHoldMore() || m.Granted.exceeds(g) {
		return narrower + g
	}
	return g
}

// mayHoldMore: an earlier header gave more than the current one, and the machine
// has not confirmed that it holds this one.
func (m *Member) mayHoldMore() bool {
	return strings.HasPrefix(string(m.Granted), narrower) && m.Acked < m.Version
}

// tells plans the header of a member, and whether the machine is told of it. A
// machine in quarantine is given nothing; what was taken from a user reaches it
// all the same, because it lets him in without the network until it does.
func (f *Fleet) tells(l Ledger, m *Member) (p plan, told bool, err error) {
	active := l.Machine.State == latchkey.Active
	if !active && (l.Machine.State != latchkey.Quarantined || m.Version == 0) {
		return plan{}, false, nil
	}
	p, err = f.plan(l, m)
	if err != nil || active {
		return p, err == nil, err
	}
	loses := m.loses(&p)
	p.withdraw()
	return p, loses, p.sum()
}

// loses reports whether the machine may let its user do alone what he may not
// any more.
func (m *Member) loses(p *plan) bool {
	switch {
	case p.header.Status != bundle.Active, m.Granted == withdrawn:
		return true
	case m.Granted == nothing:
		return false
	case m.Granted == notNoted:
		return m.Acked < m.Version || string(m.Digest) != string(p.digest)
	}
	return m.mayHoldMore() || m.Granted.exceeds(p.grant())
}

// withdraw turns a plan into one that gives nothing, and says of the user only
// what takes away: no code, no anchor, and in place of any policy one that lets
// nobody in without the server. A header without a policy would not do: who is
// not covered is not asked.
func (p *plan) withdraw() {
	p.held, p.tokens, p.leases, p.books, p.limit, p.window = true, nil, nil, nil, latchkey.Limit{}, 0
	p.header.Anchor = 0
	if p.header.Status == bundle.Active {
		p.header.Policy = nobody()
	}
}

// nobody is the policy under which nobody is let in without the server.
func nobody() *latchkey.Policy {
	return &latchkey.Policy{
		Name: "quarantine", Users: latchkey.Subjects{All: true},
		Factors: latchkey.Factors{Required: 1, Online: []latchkey.Kind{}, Offline: []latchkey.Kind{}},
		Offline: latchkey.OfflineRules{
			Count: latchkey.CountSuccesses, Enroll: "mandatory", EnrollOn: "own", SpendOn: []latchkey.Scenario{},
		},
		NotEnrolled: latchkey.Deny, Unreachable: latchkey.Deny, MinKeyClass: latchkey.Software,
		Scenarios: map[latchkey.Scenario]latchkey.ScenarioRules{},
	}
}
