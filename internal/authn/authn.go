// Package authn is the server's authority on logons: it gathers the facts, has
// policy decide, asks, verifies and records, in one transaction per answer.
//
// It keeps nothing between two turns: what must be remembered travels in the
// prompt's state under a MAC, and every answer is judged by facts gathered
// anew. It refuses to say that an answer was right before that is durable.
package authn

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"time"

	"latchkey"
	"latchkey/internal/api"
	"latchkey/internal/logon"
	"latchkey/internal/policy"
	"latchkey/internal/seal"
	"latchkey/internal/secret"
	"latchkey/internal/verify"
)

// Errors of a Store.
var (
	// ErrRaced: somebody changed a state that the settlement builds on.
	ErrRaced = errors.New("the facts changed meanwhile")
	// ErrAnswered: the answer was settled before; ask Answered.
	ErrAnswered = errors.New("this answer was settled before")
)

// Store is the part of the database that logons need.
type Store interface {
	// Logon gathers what bears on a logon. A machine that does not exist is an
	// error with the code NotFound. The failures are those of whoever asks: of
	// everybody, or where l.Caller is not root of the user's own programs on the
	// machine.
	Logon(ctx context.Context, m latchkey.MachineID, l latchkey.Logon) (Facts, error)
	// Settle writes everything that s says in one transaction, or nothing. It
	// returns the version of the verdict. Errors: ErrRaced, ErrAnswered.
	Settle(ctx context.Context, s Settlement) (version uint64, err error)
	// Answered returns what an answer was settled with; false where it was not.
	Answered(ctx context.Context, answer []byte) (Result, bool, error)
	// EventID names an event.
	EventID() (string, error)
}

// Keys are what the server proves itself with.
type Keys struct {
	Deployment string
	Signer     ed25519.PrivateKey
	State      secret.Bytes // MACs the prompts' state
	// Ring returns the signing keys as they are now; nil: Signer is the only one.
	Ring func() seal.Ring
}

// An Authn decides logons. It is safe for concurrent use.
type Authn struct {
	store    Store
	keys     Keys
	now      func() time.Time
	refusals latchkey.Pace // that cost no code
	entries  latchkey.Pace // that no code opened
	weighty  map[latchkey.Reason]*latchkey.Pace
}

// How many lines an hour one user on a machine can write into the audit trail
// without a code that is charged or used up, and how many all of them together.
// More than people do, on a host of many too. Of each refusal that weighs more a
// user has a few to himself.
const (
	MaxRefusals        = 600
	MaxEntries         = 3000
	MaxMachineRefusals = 3000
	MaxMachineEntries  = 12000
	MaxWeighty         = 10
)

// New returns the authority of a server.
func New(s Store, k Keys, now func() time.Time) *Authn {
	return &Authn{
		store: s, keys: k, now: now,
		refusals: latchkey.Pace{PerHour: MaxRefusals, PerMachine: MaxMachineRefusals, What: "refused logons"},
		entries:  latchkey.Pace{PerHour: MaxEntries, PerMachine: MaxMachineEntries, What: "logons that no code opened"},
		weighty:  rations(latchkey.CodeAlreadyUsed, latchkey.AccountDisabled, latchkey.MachineRemoved, latchkey.LockedOut),
	}
}

// rations gives every reason a pace of its own, which nothing else uses up.
func rations(reasons ...latchkey.Reason) map[latchkey.Reason]*latchkey.Pace {
	out := map[latchkey.Reason]*latchkey.Pace{}
	for _, r := range reasons {
		out[r] = &latchkey.Pace{PerHour: MaxWeighty, PerMachine: MaxWeighty * latchkey.MaxSources}
	}
	return out
}

// ForMachine returns the authority for the logons of one machine, whose
// identity the caller has verified.
func (a *Authn) ForMachine(m latchkey.MachineID) *Authority { return &Authority{a, m} }

// An Authority decides the logons of one machine.
type Authority struct {
	*Authn
	machine latchkey.MachineID
}

var _ logon.Authority = (*Authority)(nil)

// Begin implements logon.Authority.
func (a *Authority) Begin(ctx context.Context, l latchkey.Logon) (logon.Turn, error) {
	r, err := a.begin(ctx, l)
	return r.turn(), err
}

// Answer implements logon.Authority.
func (a *Authority) Answer(ctx context.Context, l latchkey.Logon, ans latchkey.Answer) (logon.Turn, error) {
	r, err := a.answer(ctx, l, ans)
	return r.turn(), err
}

// A Result is what a turn ended with. Exactly one of the two is set.
type Result struct {
	Ask     *logon.Progress `json:"ask,omitempty"`
	Verdict *api.Verdict    `json:"verdict,omitempty"`

	// Retry is when to try again; zero where that is no matter of time.
	Retry time.Time `json:"retry,omitzero"`

	prompt *latchkey.Prompt
}

func (r Result) turn() logon.Turn {
	if r.Verdict == nil {
		return logon.Turn{Prompt: r.prompt}
	}
	return logon.End(latchkey.Verdict{
		Outcome: r.Verdict.Outcome, Reason: r.Verdict.Reason, Text: r.Verdict.Text, Event: r.Verdict.Event, Retry: r.Retry,
	})
}

// A hearing is one look at a logon: its facts, and what policy makes of them.
type hearing struct {
	now       time.Time
	logon     latchkey.Logon
	facts     Facts
	who       *Candidate // nil: unknown
	ambiguous bool
	policy    *latchkey.Policy
	decision  policy.Decision
}

func (a *Authority) hear(ctx context.Context, l latchkey.Logon) (hearing, error) {
	f, err := a.store.Logon(ctx, a.machine, l)
	if err != nil {
		return hearing{}, fmt.Errorf("gathering facts: %w", err)
	}
	if f.Machine.State == latchkey.Pending {
		return hearing{}, latchkey.Errorf(latchkey.Forbidden, "the machine waits for approval")
	}
	h := hearing{now: a.now(), logon: l, facts: f}
	h.who, h.ambiguous = identify(f, l)
	if h.who != nil {
		h.policy = policy.Choose(f.Policies, h.who.User)
		h.look()
	}
	h.decision = policy.Decide(h.policyFacts())
	if h.decision.Action == policy.Ask && !h.vouched() {
		return h.nobody(), nil
	}
	return h, nil
}

// look sets how far ahead a token's counter may be: policy says so, and where
// machines were handed codes they may have used them.
func (h hearing) look() {
	for i := range h.who.Held {
		if c := &h.who.Held[i]; c.Kind == latchkey.HOTP && h.policy != nil {
			c.Window = policy.LookAhead(h.policy.HOTP, c.State.Next, c.Handed)
		}
	}
}

// own: a program of the user's own asks, not one of root's.
func (h hearing) own() bool { return h.logon.Caller != 0 }

// held are the credentials that the user could answer with.
func (h hearing) held() []verify.Held {
	if h.who == nil {
		return nil
	}
	return h.who.Held
}

func (h hearing) policyFacts() policy.Facts {
	f := policy.Facts{
		Now: h.now, Scenario: h.logon.Scenario, Signed: true, Policy: h.policy,
		Machine: policy.Machine{
			Removed:  h.facts.Machine.State == latchkey.Removed,
			Settings: h.facts.Machine.Settings, KeyClass: h.facts.Machine.KeyClass,
		},
		User:   policy.User{Known: h.who != nil, Ambiguous: h.ambiguous},
		Usable: verify.Kinds(h.held()),
		Locked: !lockedUntil(h.held(), h.now).IsZero(),
		// A machine that lies about its tickets opens what it could open anyway:
		// itself. Where policy gives none, none counts.
		Trust: h.logon.Trusted && !h.own(), Grace: h.logon.Graced && !h.own(),
	}
	if h.who != nil {
		f.User.Disabled = h.who.User.Disabled || h.who.Deleted
	}
	return f
}

// question is what is still to be proven, where the decision asks.
func (h hearing) question() logon.Question {
	return logon.Question{Required: h.decision.Required, Kinds: h.decision.Kinds}
}

// begin opens a logon. It may end at once, and race as an answer may.
func (a *Authority) begin(ctx context.Context, l latchkey.Logon) (Result, error) {
	for range maxRaces {
		r, err := a.opening(ctx, l)
		if !errors.Is(err, ErrRaced) {
			return r, err
		}
	}
	return Result{}, errBusy
}

func (a *Authority) opening(ctx context.Context, l latchkey.Logon) (Result, error) {
	h, err := a.hear(ctx, l)
	if err != nil {
		return Result{}, err
	}
	if l.Account {
		return a.account(ctx, h)
	}
	if h.decision.Action == policy.Ask {
		return a.ask(h, logon.Progress{}, "")
	}
	return a.end(ctx, h, h.verdict(), nil)
}

// account answers whether the account may enter at all. Only the rows of the
// outcome table that no factor opens deny here; an entry is not recorded: the
// logon that it belongs to is.
func (a *Authority) account(ctx context.Context, h hearing) (Result, error) {
	if h.decision.Row <= accountRows && h.decision.Action == policy.Deny {
		return a.end(ctx, h, h.verdict(), nil)
	}
	v := ruling{outcome: latchkey.NotRequired, reason: latchkey.ScenarioOff}
	return Result{Verdict: a.write(h, v, "", uint64(max(0, h.now.UnixMilli())))}, nil
}

// accountRows are the rows about machine, identity and account: 1 to 3.
const accountRows = 3

// ask puts the next question. A note stands before the label.
func (a *Authority) ask(h hearing, p logon.Progress, note string) (Result, error) {
	prompt, next := h.question().Next(p)
	prompt.Label = note + prompt.Label
	state, err := a.seal(h, next)
	if err != nil {
		return Result{}, err
	}
	prompt.State = state
	return Result{Ask: &next, prompt: &prompt}, nil
}
