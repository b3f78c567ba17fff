package fleet

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"latchkey"
	"latchkey/internal/api"
	"latchkey/internal/bundle"
	"latchkey/internal/otp"
	"latchkey/internal/policy"
	"latchkey/internal/seal"
	"latchkey/internal/verify"
)

const (
	// HeaderLife is how long a machine may rely on a header without contact.
	HeaderLife = 30 * 24 * time.Hour
	// headerAge is when a header that did not change is made anew, so that its
	// end moves with the contacts of the machine.
	headerAge = 24 * time.Hour
	// maxChunks bounds the plaintext of the chunks in one answer, in bytes; the
	// machine asks again for the rest.
	maxChunks = 4 << 20
)

// A plan is what a header says, before it has a version.
type plan struct {
	header bundle.Header
	limit  latchkey.Limit
	tokens []share
	digest []byte
	leases []Lease
	books  []Book
	window int // of HOTP
	// may are the authenticators whose codes the machine may hold, whether or not
	// there are any left to hold.
	may []latchkey.AuthenticatorID
	// held: the machine is quarantined, and this is all that it is told.
	held bool
}

// A share is a token and how many HOTP codes of it the machine may hold.
type share struct {
	Token
	quota int
}

// plan decides what a member's header on the machine says.
func (f *Fleet) plan(l Ledger, m *Member) (plan, error) {
	p := plan{header: bundle.Header{
		Deployment: f.keys.Deployment, Machine: l.Machine.ID, User: m.User.ID, Name: m.User.Name, Directory: m.User.Directory,
		UID: m.UID, Status: bundle.Active, Credentials: []bundle.Credential{},
	}}
	switch {
	case m.wiping(), m.Deleted:
		p.header.Status = bundle.Tombstoned
	case m.User.Disabled:
		p.header.Status = bundle.Disabled
	}
	if p.header.Status == bundle.Active {
		p.header.Policy = policy.Choose(l.Policies, m.User)
		p.header.Anchor = anchorMillis(m.Anchor)
	}
	if p.header.Policy != nil && m.enrolled() {
		p.codes(l.Machine, m, f.now())
	}
	return p, p.sum()
}

// codes chooses the authenticators whose codes the machine may hold.
func (p *plan) codes(machine latchkey.Machine, m *Member, now time.Time) {
	rules := p.header.Policy
	if policy.Withholds(*rules, machine.KeyClass) != "" {
		return
	}
	p.limit, p.window = rules.Limit(machine.KeyClass), rules.HOTP.Window
	horizon := bundle.Horizon(m.Anchor, p.limit)
	for _, t := range m.Tokens {
		switch {
		case t.Removed || !listed(rules.Factors.Offline, t.Kind):
		case t.Kind == latchkey.TOTP:
			p.may = append(p.may, t.ID)
			p.tokens, p.books = append(p.tokens, share{t, 0}), append(p.books, bookOf(t, m.Anchor, horizon))
		case t.Kind == latchkey.HOTP && t.leased(machine.ID, m.Anchor, now):
			p.may = append(p.may, t.ID)
			p.lease(t, machine, rules.OfflineQuota(), m.Anchor, horizon, now)
		}
	}
}

// bookOf is what the machine may know of an app: nothing from before the day of
// its user's login there, for which a clock may have been late, and nothing past
// his days. Chunks are whole days, so a book begins with one.
func bookOf(t Token, anchor, horizon time.Time) Book {
	perDay := uint64(int(bundle.Day/time.Second) / t.Period)
	first := otp.Step(anchor.Add(-clockSlack), t.Period) / perDay * perDay
	return Book{Token: t.ID, First: first, To: otp.Step(horizon, t.Period), Anchor: anchor}
}

// lease shares out the codes of an HOTP token. A counter does not end by
// itself: past the horizon, and past what one allowance is good for, nothing is
// added to what the machine holds.
func (p *plan) lease(t Token, m latchkey.Machine, quota int, anchor, horizon, now time.Time) {
	held := 0
	if t.LeaseMachine == m.ID && t.Handed > t.Next {
		held = int(min(t.Handed-t.Next, policy.MaxWindow))
	}
	room := int(min(p.last(t, anchor)-min(p.last(t, anchor), t.Next), policy.MaxWindow))
	switch {
	case !now.Before(horizon):
		quota = held
	case quota > 0 && room > min(held, quota):
		quota = min(quota, room)
		p.leases = append(p.leases, p.leaseOf(t, m, quota, anchor, horizon, now))
	default:
		quota = min(quota, held)
	}
	if quota > 0 {
		p.tokens = append(p.tokens, share{t, quota})
	}
}

// last is the first counter of a token that is not handed out in one allowance.
// A machine could report logins that never were, be handed the next codes for
// them, and so walk the counter away from the token: it stops here, until the
// server has taken a code itself or the user has proven himself on the machine.
func (p *plan) last(t Token, anchor time.Time) uint64 {
	base := t.Next
	if anchor.Equal(t.BaseAnchor) {
		base = t.Base
	}
	most := walks * max(0, p.window)
	if p.limit.Counted {
		most = p.limit.Logins + max(0, p.window)
	}
	return max(base, t.Seen) + uint64(most)
}

// walks is how many windows of a token one allowance is good for, where logins
// are not counted.
const walks = 10

// leaseEnd is when a lease that is given now ends: with the user's days, and
// before them where the machine is not heard of again.
func leaseEnd(horizon, now time.Time) time.Time {
	if most := now.Add(latchkey.LeaseLife); most.Before(horizon) {
		return most
	}
	return horizon
}

// leaseOf is the lease that goes with the codes.
func (p *plan) leaseOf(t Token, m latchkey.Machine, quota int, anchor, horizon, now time.Time) Lease {
	l := Lease{
		Token: t.ID, To: t.Next + uint64(quota), Until: leaseEnd(horizon, now), From: t.LeaseMachine, FromUntil: t.LeaseUntil,
		Base: t.Next, Anchor: anchor,
	}
	if t.LeaseMachine != "" && t.LeaseMachine != m.ID {
		l.Event = &latchkey.Event{
			Time: now, Kind: latchkey.LeaseMoved, Actor: "server", User: p.header.User, UserName: p.header.Name,
			Machine: m.ID, Host: m.Name, Detail: map[string]string{"authenticator": string(t.ID), "from": t.LeaseHost},
		}
	}
	return l
}

// gives is what the header lets the machine check, for the reports.
func (p *plan) gives() latchkey.Holding {
	if p.header.Policy == nil || len(p.tokens) == 0 {
		return latchkey.Holding{}
	}
	h := latchkey.Holding{
		Until: bundle.Horizon(time.UnixMilli(p.header.Anchor).UTC(), p.limit), Counted: p.limit.Counted, Logins: p.limit.Logins,
		Required: max(1, p.header.Policy.Factors.Required),
	}
	for _, t := range p.tokens {
		held := latchkey.HeldToken{ID: t.ID, Kind: t.Kind}
		if t.Kind == latchkey.HOTP {
			held.To = t.Next + uint64(t.quota)
		}
		h.Tokens = append(h.Tokens, held)
	}
	return h
}

func listed(kinds []latchkey.Kind, k latchkey.Kind) bool {
	for _, have := range kinds {
		if have == k {
			return true
		}
	}
	return false
}

// sum digests everything that the header and its codes are made from. While it
// stays the same the machine has nothing to fetch.
func (p *plan) sum() error {
	type input struct {
		Header bundle.Header
		Limit  latchkey.Limit
		Window int
		Tokens []string
		Held   bool `json:",omitempty"`
	}
	in := input{p.header, p.limit, p.window, nil, p.held}
	for _, t := range p.tokens {
		in.Tokens = append(in.Tokens, string(t.ID), string(t.Kind), t.Label, t.Algorithm,
			strconv.Itoa(t.Digits), strconv.Itoa(t.Period), strconv.FormatUint(t.Next, 10), strconv.Itoa(t.quota))
	}
	doc, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("digesting a header: %w", err)
	}
	sum := sha256.Sum256(doc)
	p.digest = sum[:]
	return nil
}

// current makes sure that the member's header is the one that the facts ask
// for, and returns its version: a new one where anything differs. A header that
// did not change is renewed once a day, and where the machine may hold a later one
// of a database that was lost.
func (f *Fleet) current(ctx context.Context, l Ledger, m *Member, p plan, proven uint64) (uint64, error) {
	now := f.now()
	fresh := now.Before(m.IssuedAt.Add(headerAge)) && m.Version > 0 && !m.IssuedAt.Before(l.AheadAt)
	if fresh && string(p.digest) == string(m.Digest) {
		return m.Version, nil
	}
	i := Issue{
		Now: now, Machine: l.Machine.ID, User: m.User.ID, From: m.Version, Proven: proven, Digest: p.digest,
		Leases: p.leases, Books: p.books, Gives: p.gives(),
		Active: p.header.Status == bundle.Active, Withdraws: p.held, Granted: m.noted(&p),
	}
	if len(p.tokens) > 0 {
		i.Event = &latchkey.Event{
			Time: now, Kind: latchkey.BundleIssued, Actor: "server", User: m.User.ID, UserName: m.User.Name,
			Machine: l.Machine.ID, Host: l.Machine.Name, Detail: map[string]string{"authenticators": strconv.Itoa(len(p.tokens))},
		}
	}
	version, err := f.store.Issue(ctx, i)
	if err != nil {
		return 0, err
	}
	m.Version, m.Digest, m.IssuedAt, m.Granted = version, p.digest, now, i.Granted
	return version, nil
}

// Bundle answers a machine that fetches a user's header and the codes it lacks.
func (f *Fleet) Bundle(ctx context.Context, machine latchkey.MachineID, in api.BundleRequest) (api.BundleResponse, error) {
	for range maxRaces {
		out, err := f.bundle(ctx, machine, in)
		if !errors.Is(err, ErrRaced) {
			return out, err
		}
	}
	return api.BundleResponse{}, latchkey.Errorf(latchkey.Busy, "too much changes at once")
}

func (f *Fleet) bundle(ctx context.Context, machine latchkey.MachineID, in api.BundleRequest) (api.BundleResponse, error) {
	l, err := f.store.Ledger(ctx, machine, in.User)
	if err != nil {
		return api.BundleResponse{}, err
	}
	m := l.Users[in.User]
	if m == nil || m.gone() {
		return api.BundleResponse{}, errNotIssued
	}
	p, told, err := f.tells(l, m)
	if err != nil {
		return api.BundleResponse{}, err
	}
	if !told {
		return api.BundleResponse{}, errNotIssued
	}
	if _, err := f.current(ctx, l, m, p, 0); err != nil {
		return api.BundleResponse{}, err
	}
	return f.seal(l, m, p, in.Have)
}

var errNotIssued = latchkey.Errorf(latchkey.NotFound, "nothing is issued for that user on this machine")

// seal writes the header of the current version and seals what is missing.
func (f *Fleet) seal(l Ledger, m *Member, p plan, have []string) (api.BundleResponse, error) {
	to, err := seal.ParsePublicKey(l.Machine.SealingKey)
	if err != nil {
		return api.BundleResponse{}, err
	}
	sources, err := p.sources()
	if err != nil {
		return api.BundleResponse{}, err
	}
	p.header.Version, p.header.IssuedAt = m.Version, m.IssuedAt.UnixMilli()
	p.header.NotAfter = m.IssuedAt.Add(HeaderLife).UnixMilli()
	header, raw := bundle.Pack(p.header, p.limit, sources)
	ring, err := f.keys.ring()
	if err != nil {
		return api.BundleResponse{}, err
	}
	sealed, err := bundle.SealHeader(header, ring.Signer, to)
	if err != nil {
		return api.BundleResponse{}, err
	}
	out := api.BundleResponse{User: m.User.ID, Version: m.Version, Header: sealed, Chunks: []api.SealedChunk{}}
	held, size := map[string]bool{}, 0
	for _, h := range have {
		held[h] = true
	}
	for _, r := range raw {
		defer r.Codes.Wipe()
		if held[r.SHA256] || size+len(r.Codes) > maxChunks && size > 0 {
			continue
		}
		size += len(r.Codes)
		c, err := bundle.SealChunk(header, r, to)
		if err != nil {
			return api.BundleResponse{}, err
		}
		out.Chunks = append(out.Chunks, api.SealedChunk{SHA256: r.SHA256, Sealed: c})
	}
	return out, nil
}

func (p plan) sources() ([]bundle.Source, error) {
	var out []bundle.Source
	for _, t := range p.tokens {
		g, err := t.Codes()
		if err != nil {
			return nil, err
		}
		s := bundle.Source{
			ID: t.ID, Kind: t.Kind, Label: t.Label, Digits: t.Digits, Period: t.Period,
			Window: totpWindow, Next: t.Next, Codes: g,
		}
		if t.Kind == latchkey.HOTP {
			s.Window, s.Quota, s.Used = p.window, t.quota, verify.ReplayWindow
		}
		out = append(out, s)
	}
	return out, nil
}
