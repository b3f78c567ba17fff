package fleet_test

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"latchkey"
	"latchkey/internal/api"
)

// A carrier is a machine with the book of one token, as its vault would use it.
type carrier struct {
	*machine
	name       string
	from, past uint64 // the codes that it holds
	next       uint64
	uses       []use // seq i+1 was for uses[i]
	saved      *carrier
	reported   uint64 // its generation as the server knows it
	out        bool   // quarantined
}

type use struct {
	counter uint64
	logon   latchkey.LogonID
}

// A pocket is one token, its owner, and what everybody knows of it.
type pocket struct {
	*world
	user      latchkey.UserID
	login     string
	token     latchkey.AuthenticatorID
	carriers  []*carrier
	pressed   uint64 // the token shows this one next
	next      uint64 // of the server; never goes back
	known     map[uint64][]latchkey.LogonID
	before    int // incidents of other pockets
	incidents int
}

// Whatever happens in whatever order to a token that is carried between
// machines: no counter of the server goes back, it lets no code in that was used
// online or reported, only who has the lease is given codes, a code that was
// used in two parts is one incident, and no honest machine is taken for a liar.
func TestATokenIsUsedOncePerConnectedPart(t *testing.T) {
	t.Parallel()
	home, n := newWorld(t), 0
	home.policy(func(*latchkey.Policy) {})
	rapid.Check(t, func(t *rapid.T) {
		w := &world{tester: t, ctx: home.ctx, db: home.db, authn: home.authn, fleet: home.fleet, enroll: home.enroll, key: home.key, clock: home.clock}
		n++
		p := &pocket{world: w, login: fmt.Sprintf("ana%d", n), known: map[uint64][]latchkey.LogonID{}, before: w.doubles()}
		p.user = w.user(p.login, latchkey.HOTP)
		list, err := w.db.AuthenticatorsOf(w.ctx, p.user)
		w.must(err)
		p.token = list[0].ID
		for _, name := range []string{"a", "b", "c"} {
			p.carriers = append(p.carriers, &carrier{machine: w.machine(name + p.login), name: name + p.login})
		}
		for range rapid.IntRange(5, 25).Draw(t, "steps") {
			p.step(t)
			p.check()
		}
		for _, c := range p.carriers {
			p.home(c)
		}
		p.check()
	})
}

func (p *pocket) step(t *rapid.T) {
	c := rapid.SampledFrom(p.carriers).Draw(t, "machine")
	if c.out {
		return
	}
	switch rapid.SampledFrom([]string{"online", "online", "again", "offline", "offline", "offline", "sync", "sync", "move", "press", "save", "restore"}).Draw(t, "what") {
	case "online":
		p.online(c)
	case "again":
		p.again(c, uint64(rapid.IntRange(1, 8).Draw(t, "back")))
	case "offline":
		p.offline(c, uint64(rapid.IntRange(0, 3).Draw(t, "back")))
	case "sync":
		p.home(c)
	case "move":
		if _, err := p.world.enroll.MoveLease(p.ctx, "admin", p.token, c.name); err != nil && latchkey.CodeOf(err) != latchkey.Conflict {
			p.Fatal(err) // a conflict: the owner never logged in there
		}
	case "press":
		p.pressed += uint64(rapid.IntRange(1, 12).Draw(t, "presses"))
	case "save":
		saved := *c
		saved.queue, saved.uses, saved.saved = slices.Clone(c.queue), slices.Clone(c.uses), nil
		held := *c.machine
		held.queue = slices.Clone(c.queue)
		saved.machine = &held
		c.saved = &saved
	case "restore":
		p.restore(c)
	}
}

// press is the next code of the token.
func (p *pocket) press() uint64 { p.pressed++; return p.pressed - 1 }

// online logs in at the server, with a second code where it asks for one.
func (p *pocket) online(c *carrier) {
	id, n := "", p.press()
	got := c.loginAs(p.login, &id, counter(n))
	if got == "ask secret" {
		n = p.press()
		got = c.loginAs(p.login, &id, counter(n-1), counter(n))
	}
	if got != "allow verified_online" {
		p.lost(got)
		return
	}
	if n < p.next {
		p.Fatalf("the server let %d in, after %d", n, p.next)
	}
	p.learn(n, id)
	p.next = max(p.next, n+1)
	c.next = max(c.next, n+1) // the verdict's floor
}

// again shows the server a code that it knows as used.
func (p *pocket) again(c *carrier, back uint64) {
	if back > p.next {
		return
	}
	if got := c.login(p.login, counter(p.next-back)); got != "deny code_already_used" && got != "deny throttled" {
		p.Fatalf("%d again: %s", p.next-back, got)
	}
}

// lost brings a token back that ran too far ahead.
func (p *pocket) lost(got string) {
	if got != "deny wrong_code" && got != "deny throttled" {
		p.Fatalf("online: %s", got)
	}
	p.must(p.db.UnlockUser(p.ctx, p.user, latchkey.Event{Kind: latchkey.UserUnlocked}))
	one, two := p.press(), p.press()
	_, err := p.enroll.Resync(p.ctx, "admin", p.token, api.Resync{Codes: []string{counter(one), counter(two)}})
	p.must(err)
	p.next = two + 1
}

// offline is a login with the cable pulled, by the next code or one before it.
func (p *pocket) offline(c *carrier, back uint64) {
	n := p.pressed - min(back, p.pressed)
	if back == 0 {
		n = p.press()
	}
	if n < c.next || n < c.from || n >= c.past || n > c.next+10 {
		return // no code that it would take
	}
	c.next = n + 1
	c.machine.offline(p.user, p.token, n)
	c.uses = append(c.uses, use{n, c.queue[len(c.queue)-1].Logon + p.login + c.name})
	c.queue[len(c.queue)-1].Logon += p.login + c.name
}

// home is a contact: the report goes first, then the news come.
func (p *pocket) home(c *carrier) {
	if c.out {
		return
	}
	var told []api.Known
	if c.past > 0 {
		told = []api.Known{{User: p.user, Floors: []latchkey.Floor{{Credential: p.token, Next: c.next}}}}
	}
	p.hears(c)
	out := c.sync(told...)
	if out.State != "active" {
		p.Fatalf("an honest machine is %s: %v", out.State, p.world.incidents())
	}
	c.reported = c.generation
	p.next = max(p.next, c.next)
	if version(out, p.user) == 0 {
		return
	}
	h := c.fetch(p.user)
	c.from, c.past = span(h)
	for _, cred := range h.Credentials {
		c.next = max(c.next, cred.Next)
	}
	if c.past > 0 {
		list, err := p.db.AuthenticatorsOf(p.ctx, p.user)
		p.must(err)
		if l := list[0].Lease; l == nil || l.Host != c.name {
			p.Fatalf("%s holds codes, the lease is %+v", c.name, l)
		}
	}
}

// hears learns what the report of c is about to tell the server.
func (p *pocket) hears(c *carrier) {
	for i := range c.uses {
		p.learn(c.uses[i].counter, c.uses[i].logon)
	}
}

// learn notes a use that the server hears of. A second one is an incident.
func (p *pocket) learn(n uint64, id latchkey.LogonID) {
	if slices.Contains(p.known[n], id) {
		return
	}
	if len(p.known[n]) > 0 {
		p.world.tester.Helper()
		p.incidents++
	}
	p.known[n] = append(p.known[n], id)
}

// restore puts an older ledger back. What the server has not heard of is gone;
// where it has, the machine is found out at its next contact.
func (p *pocket) restore(c *carrier) {
	if c.saved == nil {
		return
	}
	heard, saved := c.reported, c.saved
	proof, settings := c.proof, c.settings
	*c.machine = *saved.machine
	c.queue = slices.Clone(saved.queue)
	c.proof, c.settings = proof, settings
	c.from, c.past, c.next, c.uses, c.saved = saved.from, saved.past, saved.next, slices.Clone(saved.uses), nil
	if c.generation >= heard {
		return
	}
	if out := c.sync(); out.State != "quarantined" {
		p.Fatalf("a machine whose ledger went back is %s", out.State)
	}
	c.out = true
}

// check compares the server with what it must know.
func (p *pocket) check() {
	p.Helper()
	_, held, err := p.db.Token(p.ctx, p.token)
	p.must(err)
	if held.State.Next != p.next {
		p.Fatalf("the server's counter is %d, not %d", held.State.Next, p.next)
	}
	if got := p.doubles() - p.before; got != p.incidents {
		p.Fatalf("%d incidents, want %d", got, p.incidents)
	}
}

// doubles counts the codes that were used for two logins.
func (w *world) doubles() (n int) {
	w.Helper()
	for _, what := range w.incidents() {
		if what == "one code was used for two logins" {
			n++
		}
	}
	return n
}
