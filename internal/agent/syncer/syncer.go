// Package syncer brings what happened offline to the server and news to the
// machine: at the start, every few minutes, after an online login and on
// demand.
//
// It refuses to stand in anybody's way: no login waits for it, and a sync that
// fails denies nobody. What it could not do it says in its state.
package syncer

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"sync"
	"time"

	"latchkey"
	"latchkey/internal/api"
	"latchkey/internal/vault"
)

// A Server is who is synced with.
type Server interface {
	// Reach takes over the server's signed time, and costs next to nothing where
	// nobody answers.
	Reach(ctx context.Context) error
	Sync(ctx context.Context, q api.SyncRequest) (api.SyncResponse, error)
	Bundle(ctx context.Context, q api.BundleRequest) (api.BundleResponse, error)
}

// The rhythm. Every wait is drawn from three quarters to five quarters of its
// length, so that a fleet that lost its server does not come back as one.
const (
	Every     = 5 * time.Minute
	firstWait = 5 * time.Second // after a failure; doubles
	mostWait  = time.Minute
)

// Bounds of one sync.
const (
	eventsAtOnce = 500 // events in one report
	maxRounds    = 32  // exchanges in one sync: a full ring is 4,096 events
	maxFetches   = 64  // answers with chunks for one bundle
)

// A Config says who syncs what with whom.
type Config struct {
	Server Server
	Vault  *vault.Vault
	// Budget is how long one exchange with the server may take.
	Budget time.Duration
	// Heard is told when the server's signed word was taken over. It must not
	// block; nil for nobody.
	Heard   func()
	Now     func() time.Time
	OS      string
	Version string
	Log     *slog.Logger
}

// A Syncer syncs one vault. It is safe for concurrent use; one sync runs at a
// time.
type Syncer struct {
	Config
	wake chan struct{}
	busy sync.Mutex // held for one sync

	mu    sync.Mutex
	state State
}

// A State is what came of the syncs so far.
type State struct {
	At      time.Time // the last success; zero for none since the start
	Problem string    // what went wrong in the last sync, "" for nothing
	Machine latchkey.MachineState
}

// New returns a syncer; Run makes it work.
func New(c Config) *Syncer { return &Syncer{Config: c, wake: make(chan struct{}, 1)} }

// State says what came of the syncs so far.
func (s *Syncer) State() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

// Kick asks for a sync soon. It does not wait.
func (s *Syncer) Kick() {
	select {
	case s.wake <- struct{}{}:
	default: // one is asked for already
	}
}

// Run syncs until ctx ends.
func (s *Syncer) Run(ctx context.Context) {
	failures := 0
	for {
		if err := s.Sync(ctx); err != nil {
			failures++
		} else {
			failures = 0
		}
		t := time.NewTimer(jitter(wait(failures)))
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-s.wake:
		case <-t.C:
		}
		t.Stop()
	}
}

// wait is how long to rest after so many failures in a row.
func wait(failures int) time.Duration {
	if failures == 0 {
		return Every
	}
	w := firstWait
	for i := 1; i < failures && w < mostWait; i++ {
		w *= 2
	}
	return min(w, mostWait)
}

// jitter spreads d over three to five quarters of it.
func jitter(d time.Duration) time.Duration {
	n, err := rand.Int(rand.Reader, big.NewInt(int64(d/2)+1))
	if err != nil {
		return d
	}
	return d*3/4 + time.Duration(n.Int64())
}

// Sync exchanges everything there is to exchange, now.
func (s *Syncer) Sync(ctx context.Context) error {
	s.busy.Lock()
	defer s.busy.Unlock()
	machine, err := s.attempt(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	if machine != "" {
		s.state.Machine = machine
	}
	if err != nil {
		if ctx.Err() == nil && s.state.Problem != err.Error() {
			s.Log.Warn("sync", "error", err)
		}
		s.state.Problem = err.Error()
		return err
	}
	s.state.At, s.state.Problem = s.Now(), ""
	return nil
}

// attempt asks first whether anybody listens where the last sync failed: a
// report is read and checked for nothing each time that nobody does, on a machine
// that may be away for weeks.
func (s *Syncer) attempt(ctx context.Context) (latchkey.MachineState, error) {
	if s.State().Problem != "" {
		if err := s.Server.Reach(ctx); err != nil {
			return "", err
		}
	}
	return s.exchange(ctx)
}

// exchange reports and fetches until both sides know the same. Bundles that
// cannot be kept are told at the end: one must not keep back the others.
func (s *Syncer) exchange(ctx context.Context) (machine latchkey.MachineState, err error) {
	var broken []error
	for range maxRounds {
		round, err := s.round(ctx)
		machine = latchkey.MachineState(round.state)
		if err != nil {
			return machine, errors.Join(append(broken, err)...)
		}
		broken = append(broken, round.broken...)
		if !round.more {
			return machine, errors.Join(broken...)
		}
	}
	return machine, errors.Join(append(broken, errors.New("there is more to report than one sync carries"))...)
}

// A round is one exchange and the fetches that follow from it.
type round struct {
	state  string
	broken []error
	more   bool // events or wiped users are still to be reported
}

func (s *Syncer) round(ctx context.Context) (round, error) {
	req, err := s.Vault.Pending(eventsAtOnce)
	if err != nil {
		return round{}, fmt.Errorf("gathering the report: %w", err)
	}
	q, err := s.Vault.Inquire(s.Budget)
	if err != nil {
		return round{}, err
	}
	req.Nonce, req.OS, req.AgentVersion = q.Nonce, s.OS, s.Version
	resp, err := s.Server.Sync(ctx, req)
	if err != nil {
		return round{}, err
	}
	r := round{state: resp.State}
	news, err := s.Vault.Merge(q, req, resp)
	if err != nil {
		r.broken = append(r.broken, err) // the news that were taken are worth fetching
	} else if s.Heard != nil {
		s.Heard()
	}
	for _, n := range news {
		if err := s.fetch(ctx, n); err != nil {
			r.broken = append(r.broken, fmt.Errorf("fetching what %s may do offline: %w", n.User, err))
		}
	}
	r.more = len(r.broken) == 0 && s.unreported(req)
	return r, nil
}

// unreported reports whether the machine has something to say that it has not
// said: events beyond those in the report, users who were wiped just now, and
// bundles that it holds now. The report of enrollments is only as true as this.
func (s *Syncer) unreported(said api.SyncRequest) bool {
	now, err := s.Vault.Pending(1)
	if err != nil {
		return false // the next sync says what is wrong
	}
	if len(said.Events) == eventsAtOnce && len(now.Events) > 0 {
		return true
	}
	told := map[latchkey.UserID]api.Known{}
	for _, u := range said.Users {
		told[u.User] = u
	}
	for _, u := range now.Users {
		if t := told[u.User]; u.Wiped && !t.Wiped || u.Version != t.Version {
			return true
		}
	}
	return false
}

// fetch gets a user's header and the chunks that it names. The server may send
// the chunks in several answers; the vault takes all of them or none.
func (s *Syncer) fetch(ctx context.Context, n api.News) error {
	have, err := s.Vault.Have(n.User)
	if err != nil {
		return err
	}
	var whole api.BundleResponse
	for range maxFetches {
		part, err := s.Server.Bundle(ctx, api.BundleRequest{User: n.User, Have: have})
		if err != nil {
			return err
		}
		if part.User != n.User {
			return errors.New("the answer is about another user")
		}
		whole = join(whole, part)
		for _, c := range part.Chunks {
			have = append(have, c.SHA256)
		}
		if err = s.Vault.Store(whole); err == nil || len(part.Chunks) == 0 {
			return err
		}
	}
	return errors.New("the bundle has no end")
}

// join adds the chunks of one answer to those of the answers before it. The
// newest header counts; chunks of an older one do no harm.
func join(whole, part api.BundleResponse) api.BundleResponse {
	part.Chunks = append(whole.Chunks, part.Chunks...)
	return part
}
