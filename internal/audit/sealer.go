package audit

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"latchkey"
)

// Limits of the sealer.
const (
	sealEvery = 500 * time.Millisecond
	sealMost  = 250 // rows in a transaction: others wait for it
	lateAfter = 30 * time.Second
)

// A Round is one transaction of the sealer.
type Round struct {
	Holder string
	Lease  time.Duration
	Most   int // rows
	// Sign returns the checkpoint of the last row.
	Sign func(position int64, hash []byte, at time.Time) (string, error)
}

// SealStore is the part of the database that the sealer needs.
type SealStore interface {
	// Seal gives the rows that have none their position and hash, oldest
	// first, and stores the checkpoint of the last, in one transaction. It
	// does nothing where there is nothing to seal. ours is false where
	// another holder has the lease. ErrAltered: it sealed, behind a gap.
	Seal(ctx context.Context, r Round) (sealed int, ours bool, err error)
}

// ErrAltered: the trail does not end as the server left it.
var ErrAltered = errors.New("somebody altered the end of the audit trail, or it was lost")

// A Sealer chains what the changes wrote unchained: a chain inside each
// change would make all of them wait for each other.
type Sealer struct {
	store  SealStore
	notary Notary
	holder string
	lease  time.Duration
	now    func() time.Time

	mu   sync.Mutex
	well time.Time // when a round last ended without an error
	last error

	altered error // until the end of the process: somebody has to look
}

// NewSealer returns a sealer that calls itself holder. lease is how long other
// servers wait for it when it dies.
func NewSealer(store SealStore, notary Notary, holder string, lease time.Duration, now func() time.Time) *Sealer {
	return &Sealer{store: store, notary: notary, holder: holder, lease: lease, now: now, well: now()}
}

// Run seals twice a second until ctx ends. Errors go to report; the next round
// tries again.
func (s *Sealer) Run(ctx context.Context, report func(error)) {
	tick := time.NewTicker(sealEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := s.Round(ctx); err != nil && ctx.Err() == nil {
				report(err)
			}
		}
	}
}

// Round seals all that is unsealed now.
func (s *Sealer) Round(ctx context.Context) error {
	var altered error
	r := Round{Holder: s.holder, Lease: s.lease, Most: sealMost, Sign: s.notary.Sign}
	for {
		n, ours, err := s.store.Seal(ctx, r)
		if errors.Is(err, ErrAltered) {
			altered, err = errors.Join(altered, err), nil
		}
		if err != nil || !ours || n < r.Most {
			s.ended(err, altered)
			return wrapped(errors.Join(altered, err))
		}
	}
}

func wrapped(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("sealing the audit trail: %w", err)
}

func (s *Sealer) ended(err, altered error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if altered != nil {
		s.altered = altered
	}
	if s.last = err; err == nil {
		s.well = s.now()
	}
}

// Alive returns why nothing is sealed any more, or that the trail was altered
// under this process; or nil.
func (s *Sealer) Alive() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.altered != nil {
		return latchkey.Errorf(latchkey.Conflict, "%v", s.altered).WithHint("latchkey audit verify; this is said until the server starts again")
	}
	if s.now().Sub(s.well) > lateAfter {
		return latchkey.Errorf(latchkey.Busy, "the audit trail has not been sealed for %v: %v", lateAfter, s.last)
	}
	return nil
}
