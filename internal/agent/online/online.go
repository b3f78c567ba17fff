// Package online asks the server: it is the logon.Authority at the other end of
// a TLS connection, and the way by which syncs travel.
//
// It refuses to believe anybody but the server of the machine's own deployment:
// TLS 1.3 to a certificate under the pinned CA, no proxy, no redirect, no
// answer above a size, no verdict without a signature over this machine's own
// nonce. Whatever falls short of that is unreachable, which asks another
// authority and never lets anybody in.
package online

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"latchkey"
	"latchkey/internal/api"
	"latchkey/internal/logon"
	"latchkey/internal/seal"
	"latchkey/internal/secret"
	"latchkey/internal/vault"
)

// A Memory is the part of the vault that an online logon needs.
type Memory interface {
	// Reserve marks the code of an answer as spent for this logon. ErrSpent of
	// package vault: it is used, and the server does not know. On an error
	// the answer must not be sent.
	Reserve(l latchkey.Logon, a latchkey.Answer) error
	// Inquire begins a question that may take as long as budget.
	Inquire(budget time.Duration) (vault.Inquiry, error)
	// Absorb verifies the signed verdict that answers q and makes durable what
	// follows from it. Only then may the verdict be shown. logon.ErrSlept: it is
	// from before a sleep, and nothing follows from it.
	Absorb(l latchkey.Logon, raw []byte, q vault.Inquiry) (latchkey.Verdict, error)
	// Contact takes over the signed time of the health answer to q; logon.ErrSlept
	// as above.
	Contact(health []byte, q vault.Inquiry) error
}

// Budgets bound how long a person waits for the server.
type Budgets struct {
	Connect time.Duration // to one address, the TLS handshake apart; 2 s by default
	Total   time.Duration // for one question of a logon; 5 s by default
	Sync    time.Duration // for one exchange that nobody waits for; 30 s by default
	Down    time.Duration // how long a failure is remembered; 60 s by default
}

func (b Budgets) filled() Budgets {
	fill := func(d *time.Duration, standard time.Duration) {
		if *d <= 0 {
			*d = standard
		}
	}
	fill(&b.Connect, 2*time.Second)
	fill(&b.Total, 5*time.Second)
	fill(&b.Sync, 30*time.Second)
	fill(&b.Down, time.Minute)
	return b
}

// A Config says which server is the right one, and who asks.
type Config struct {
	URLs     []string         // base URLs of the agent listener, tried in order
	Pins     []Pin            // of the CAs that may vouch for them
	Identity *tls.Certificate // the machine's client certificate
	Memory   Memory
	// Floor is the earliest that it can be now. Certificates are judged by it,
	// not by the wall clock: a machine whose clock is dead must still find its
	// way to signed time.
	Floor func() time.Time
	// Alone reports whether the user of a logon could log in without the server.
	// For one who could not, a server that was down is asked again at once.
	Alone func(latchkey.Logon) bool
	// Alarm is told what should not happen on an honest network. It must not
	// block.
	Alarm   func(what string, err error)
	Now     func() time.Time // for the memory of failures
	Budgets Budgets
}

// A Client asks the server. It is safe for concurrent use and holds no lock
// while it does.
type Client struct {
	Config
	http *http.Client

	mu      sync.Mutex
	until   time.Time // the server counts as down until then
	probing bool
	said    string    // why it is down, for status
	heard   time.Time // last successful contact
	probes  sync.WaitGroup
}

var _ logon.Authority = (*Client)(nil)

// New returns a client. It opens no connection.
func New(c Config) *Client {
	c.Budgets = c.Budgets.filled()
	return &Client{Config: c, http: &http.Client{
		Transport:     transport(c),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Close ends background probes and idle connections.
func (c *Client) Close() {
	c.probes.Wait()
	c.http.CloseIdleConnections()
}

// Begin implements logon.Authority.
func (c *Client) Begin(ctx context.Context, l latchkey.Logon) (logon.Turn, error) {
	if c.Down() && c.Alone(l) {
		c.probe(ctx)
		return logon.Turn{}, fmt.Errorf("%w: it was down a moment ago", logon.ErrUnreachable)
	}
	q, err := c.Memory.Inquire(c.Budgets.Total)
	if err != nil {
		return logon.Turn{}, err
	}
	return c.ask(ctx, api.BeginPath, l, q, api.BeginRequest{Nonce: q.Nonce, Logon: l})
}

// Answer implements logon.Authority. A code that this machine could check
// itself is marked as spent before it leaves: whatever becomes of the answer,
// nobody gets in with it a second time.
func (c *Client) Answer(ctx context.Context, l latchkey.Logon, a latchkey.Answer) (logon.Turn, error) {
	err := c.Memory.Reserve(l, a)
	if errors.Is(err, vault.ErrSpent) { // the server would take it: it has not heard yet
		return logon.End(latchkey.DenyVerdict(latchkey.CodeAlreadyUsed)), nil
	}
	if err != nil {
		return logon.Turn{}, fmt.Errorf("marking the code as spent: %w", err)
	}
	q, err := c.Memory.Inquire(c.Budgets.Total)
	if err != nil {
		return logon.Turn{}, err
	}
	return c.ask(ctx, api.AnswerPath, l, q, api.AnswerRequest{Nonce: q.Nonce, Logon: l, State: a.State, Value: api.Secret(a.Value)})
}

// ask sends one question of a logon and reads the server's turn.
func (c *Client) ask(ctx context.Context, path string, l latchkey.Logon, q vault.Inquiry, question any) (logon.Turn, error) {
	body, err := json.Marshal(question)
	if err != nil {
		return logon.Turn{}, fmt.Errorf("asking the server: %w", err)
	}
	defer secret.Bytes(body).Wipe()
	var t api.Turn
	if err := c.exchange(ctx, path, body, &t, limits{c.Budgets.Total, api.MaxBody}); err != nil {
		return logon.Turn{}, c.failed(err)
	}
	turn, err := c.turn(l, q, t)
	if errors.Is(err, logon.ErrUnreachable) {
		return logon.Turn{}, c.failed(err)
	}
	if err == nil {
		c.reached()
	}
	return turn, err
}

// turn reads what the server said. A verdict counts when the vault has
// verified it and written down what follows.
func (c *Client) turn(l latchkey.Logon, q vault.Inquiry, t api.Turn) (logon.Turn, error) {
	switch {
	case (t.Prompt == nil) == (len(t.Verdict) == 0):
		return logon.Turn{}, fmt.Errorf("%w: neither a prompt nor a verdict", logon.ErrUnreachable)
	case t.Prompt != nil:
		return logon.Turn{Prompt: t.Prompt}, nil
	}
	v, err := c.Memory.Absorb(l, t.Verdict, q)
	if isForged(err) {
		c.Alarm("bad_verdict", err)
		return logon.Turn{}, fmt.Errorf("%w: %w", logon.ErrUnreachable, err)
	}
	if errors.Is(err, logon.ErrSlept) {
		return logon.Turn{}, fmt.Errorf("%w: %w", logon.ErrUnreachable, err)
	}
	if err != nil {
		return logon.Turn{}, fmt.Errorf("writing down the verdict: %w", err)
	}
	return logon.End(v), nil
}

// isForged reports whether an object was not the server's word on this matter.
func isForged(err error) bool {
	for _, e := range []error{
		seal.ErrMalformed, seal.ErrType, seal.ErrUnknownKey, seal.ErrSignature, seal.ErrNotStrict,
		vault.ErrForeign, vault.ErrOlder, vault.ErrForked,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
