package vault

import (
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"strings"
	"time"

	"latchkey"
	"latchkey/internal/api"
	"latchkey/internal/logon"
	"latchkey/internal/policy"
	"latchkey/internal/seal"
	"latchkey/internal/verify"
)

// Answer implements logon.Authority: what is charged or consumed is durable
// before it returns.
func (v *Vault) Answer(_ context.Context, l latchkey.Logon, a latchkey.Answer) (logon.Turn, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := v.look(l)
	key := answerKey(l.ID, a)
	if t, ok := v.recent.find(key, s.reading.Boot); ok {
		return t, nil
	}
	t, err := v.answer(s, a)
	if err == nil {
		v.recent.keep(key, l.ID, t, s.reading.Boot)
	}
	return t, err
}

func (v *Vault) answer(s *scene, a latchkey.Answer) (logon.Turn, error) {
	if reason, no := s.refused(); no {
		return v.end(s, latchkey.DenyVerdict(reason)), nil
	}
	if v.recent.over(s.logon.ID, s.reading.Boot) {
		return logon.Turn{}, errors.New("the logon is over")
	}
	p, err := v.progress(s, a)
	if err != nil {
		return logon.Turn{}, err
	}
	if s.decided.Action != policy.Ask { // something changed since the prompt
		return v.conclude(s, v.ledger.draft(), s.verdict(), api.Report{})
	}
	q := v.question(s)
	typed := strings.TrimSpace(string(a.Value))
	if p.Chosen == "" {
		p, _ = q.Choose(p, typed) // what is no choice is asked again
		return v.ask(s, q, p)
	}
	if next, ok := q.Word(p, typed); ok {
		return v.ask(s, q, next)
	}
	if typed == "" {
		return v.ask(s, q, p) // nothing was typed: asked again, and no guess
	}
	if typed == "?" || !slices.Contains(q.Kinds, p.Chosen) {
		p.Chosen, p.Ahead = "", nil
		return v.ask(s, q, p)
	}
	return v.check(s, q, p, a)
}

// check verifies a code and makes its cost durable.
func (v *Vault) check(s *scene, q logon.Question, p logon.Progress, a latchkey.Answer) (logon.Turn, error) {
	before := s.credentials()
	after, matched, err := verified(before, p, a, s.now)
	e := api.Report{Kind: p.Chosen}
	if errors.Is(err, verify.ErrWrong) && p.Ahead == nil {
		if id, n, ok := verify.Ahead(before, p.Chosen, a, s.now); ok {
			return v.ask(s, q, p.Behind(id, n))
		}
		if verify.AtTheEnd(before, p.Chosen, a, s.now) {
			w := latchkey.DenyVerdict(latchkey.OfflineLimitReached)
			w.Text = logon.TokenAtItsEnd
			return v.conclude(s, v.ledger.draft(), w, e)
		}
	}
	switch {
	case errors.Is(err, verify.ErrThrottled):
		w := latchkey.DenyVerdict(latchkey.Throttled)
		w.Retry = verify.RetryAt(before, p.Chosen)
		return v.conclude(s, v.ledger.draft(), w, e)
	case errors.Is(err, verify.ErrReplayed):
		return v.conclude(s, v.ledger.draft(), latchkey.DenyVerdict(latchkey.CodeAlreadyUsed), e)
	case errors.Is(err, verify.ErrWrong):
		return v.charge(s, after, e)
	case err != nil:
		return logon.Turn{}, err
	}
	return v.accept(s, q, p.Prove(), after, matched)
}

// verified checks a code, or the one that must follow a code which was ahead.
func verified(held []verify.Held, p logon.Progress, a latchkey.Answer, now time.Time) ([]verify.Held, int, error) {
	if p.Ahead != nil {
		return verify.CheckPair(held, p.Ahead.Credential, p.Ahead.Counter, a, now)
	}
	return verify.CheckKind(held, p.Chosen, a, now)
}

// charge makes a wrong answer durable.
func (v *Vault) charge(s *scene, after []verify.Held, e api.Report) (logon.Turn, error) {
	d := v.ledger.draft()
	r := d.user(s.slot)
	if err := s.store(r, after); err != nil {
		return logon.Turn{}, err
	}
	if s.decided.Spends && !s.own() && s.entry.Policy.Offline.Count == latchkey.CountAll {
		r.Uses++
	}
	w := latchkey.DenyVerdict(latchkey.WrongCode)
	w.Retry, w.Asked = verify.RetryAt(after, e.Kind), e.Kind
	if e.Kind == latchkey.TOTP && s.facts.Local.TokenUsedUp {
		w.Text = logon.NotTheToken
	}
	return v.conclude(s, d, w, e)
}

// accept consumes a code, and ends the logon where enough is proven.
func (v *Vault) accept(s *scene, q logon.Question, p logon.Progress, after []verify.Held, matched int) (logon.Turn, error) {
	c := after[matched]
	d := v.ledger.draft()
	r := d.user(s.slot)
	if err := s.store(r, after); err != nil {
		return logon.Turn{}, err
	}
	if h := r.find(c.ID); h != nil {
		h.Owner, h.Reserved = tag8{}, 0
	}
	if c.Kind == latchkey.TOTP {
		at := time.Unix(int64(c.State.Next-1)*int64(c.Period), 0)
		d.head.Clock = d.head.Clock.prove(at, s.reading)
	}
	if !q.Finished(p) {
		if err := v.commit(d, s.reading); err != nil {
			return logon.Turn{}, err
		}
		return v.ask(s, q, p)
	}
	return v.succeed(s, d, r, api.Report{Kind: c.Kind, Credential: c.ID, Used: c.State.Next - 1})
}

func (v *Vault) succeed(s *scene, d *draft, r *record, e api.Report) (logon.Turn, error) {
	if s.decided.Spends && !s.own() {
		r.Uses++
	}
	r.grant(s.logon, s.entry.Policy, s.now, bootTag(s.reading.BootID))
	w := latchkey.Verdict{Outcome: latchkey.Allowed, Reason: latchkey.VerifiedOffline}
	s.record = r
	w.Left = v.remaining(s)
	n, ok := s.tokenCodes()
	switch {
	case ok && n == 0 && e.Kind == latchkey.HOTP:
		w.Text = logon.LastTokenCode
	case s.facts.Local.UsedUp: // before this login, which drew nothing
		w.Text = logon.NothingLeft
	}
	t, err := v.conclude(s, d, w, e)
	if err == nil {
		v.offerOffline(s)
	}
	return t, err
}

// store writes the states of the credentials into a record. Next never goes
// back: a code that was set aside for this logon was shown as unused.
func (s *scene) store(r *record, states []verify.Held) error {
	for _, c := range states {
		h := r.hold(c.ID)
		if h == nil {
			return errNoPlace
		}
		h.Next = max(h.Next, c.State.Next)
		f := &h.Root
		if s.own() {
			f = &h.Own
		}
		*f = fails{Fails: uint32(c.State.Fails), Debt: uint32(c.State.Debt), RetryAt: millis(c.State.RetryAt)}
	}
	return nil
}

// errNoPlace: a state that cannot be kept must not be answered from.
var errNoPlace = errors.New("the ledger has no place for the state of a credential")

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// Reserve is called before an answer is sent to the server. A code that is in
// this machine's book is marked spent for this logon: the vault takes it once
// more under the same logon id, should no answer come, and never under another.
// What is no code of the book changes nothing. On an error the answer must not
// be sent; ErrSpent says that it is a used code.
func (v *Vault) Reserve(l latchkey.Logon, a latchkey.Answer) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := v.look(l)
	if _, no := s.refused(); no || s.record == nil || s.entry == nil {
		return nil
	}
	d, found, spent := v.ledger.draft(), false, false
	for _, c := range s.credentials() {
		n, ok := verify.Matches(c.Credential, c.State, a, s.now)
		if !ok {
			spent = spent || s.spent(c, a)
			continue
		}
		h := d.user(s.slot).hold(c.ID)
		if h == nil {
			return errNoPlace
		}
		h.Next, h.Owner, h.Reserved = max(h.Next, n+1), hashed8(l.ID), n
		found = true
	}
	if !found && spent && v.unreported() {
		if _, err := v.conclude(s, d, latchkey.DenyVerdict(latchkey.CodeAlreadyUsed), api.Report{}); err != nil {
			return err
		}
		return ErrSpent
	}
	if !found {
		return nil
	}
	return v.commit(d, s.reading)
}

// ErrSpent: the code was used on this machine, and the server has not heard of
// it yet.
var ErrSpent = errors.New("the code was used on this machine already")

// spent reports whether an answer is a code that was used here since the server
// wrote how far it is, and not just sent to a server that never answered: of
// that, and of all before, the server itself can tell.
func (s *scene) spent(c verify.Held, a latchkey.Answer) bool {
	h := s.record.find(c.ID)
	if h == nil {
		return false
	}
	used := func(next uint64) bool {
		_, err := verify.Check(c.Credential, latchkey.CredentialState{Next: next}, a, s.now)
		return errors.Is(err, verify.ErrReplayed)
	}
	next := c.State.Next
	if h.Owner != (tag8{}) && next == h.Reserved+1 {
		next = h.Reserved
	}
	return used(next) && !used(h.Issued)
}

// remember is how long the same answer to the same prompt gets the same turn.
const remember = 120 * time.Second

// maxRemembered bounds the memory for it; the oldest are forgotten first.
const maxRemembered = 4096

// recent are the answers of the last two minutes and the logons that ended.
type recent struct {
	turns map[[32]byte]logon.Turn
	ended map[latchkey.LogonID]bool
	order []remembered
}

type remembered struct {
	key [32]byte
	id  latchkey.LogonID // set where the logon ended with it
	at  time.Duration
}

func answerKey(id latchkey.LogonID, a latchkey.Answer) [32]byte {
	sum := sha256.New()
	sum.Write(seal.Info("latchkey/answer/1", id, string(a.State)))
	sum.Write(a.Value)
	return [32]byte(sum.Sum(nil))
}

func (r *recent) find(key [32]byte, at time.Duration) (logon.Turn, bool) {
	r.forget(at)
	t, ok := r.turns[key]
	return t, ok
}

func (r *recent) over(id latchkey.LogonID, at time.Duration) bool {
	r.forget(at)
	return r.ended[id]
}

func (r *recent) keep(key [32]byte, id latchkey.LogonID, t logon.Turn, at time.Duration) {
	if r.turns == nil {
		r.turns, r.ended = map[[32]byte]logon.Turn{}, map[latchkey.LogonID]bool{}
	}
	r.turns[key] = t
	if t.Verdict == nil {
		id = ""
	} else {
		r.ended[id] = true
	}
	r.order = append(r.order, remembered{key, id, at})
}

func (r *recent) forget(at time.Duration) {
	n := 0
	for n < len(r.order) && (at-r.order[n].at > remember || len(r.order)-n > maxRemembered) {
		delete(r.turns, r.order[n].key)
		delete(r.ended, r.order[n].id)
		n++
	}
	r.order = r.order[n:]
}
