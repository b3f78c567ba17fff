package httpd

import (
	"context"
	"net/http"
	"sync"
	"time"

	"latchkey"
	"latchkey/internal/api"
)

// Making a bundle is the most work that a machine can ask for. Each machine has
// one at a time, and a share of the server's time: what it did not use gathers, so
// that hundreds of users can be fetched at once.
const (
	laneShare = 0.1              // of a core
	laneRoom  = 10 * time.Second // that gather, at most

	fewLanes = 1024 // below, nothing is forgotten
)

// laneWait is for the one that is under way. Only tests change it.
var laneWait = 2 * time.Second

// lanes are the machines that ask for bundles.
type lanes struct {
	mu  sync.Mutex
	all map[latchkey.MachineID]*lane
	now func() time.Time
}

// A lane is one machine's.
type lane struct {
	turn chan struct{} // holds the one turn
	left time.Duration // may be below zero: what is begun is finished
	at   time.Time     // when left was true
}

func newLanes() *lanes { return &lanes{all: map[latchkey.MachineID]*lane{}, now: time.Now} }

type bundler func(context.Context, latchkey.MachineID, api.BundleRequest) (api.BundleResponse, error)

// paced lets every machine have its share only.
func (l *lanes) paced(do bundler) bundler {
	return func(ctx context.Context, m latchkey.MachineID, in api.BundleRequest) (api.BundleResponse, error) {
		mine := l.of(m)
		if err := l.enter(ctx, mine); err != nil {
			return api.BundleResponse{}, err
		}
		defer l.leave(mine, l.now())
		return do(ctx, m, in)
	}
}

func (l *lanes) of(m latchkey.MachineID) *lane {
	l.mu.Lock()
	defer l.mu.Unlock()
	mine := l.all[m]
	if mine == nil {
		l.forget()
		mine = &lane{turn: make(chan struct{}, 1), left: laneRoom, at: l.now()}
		l.all[m] = mine
	}
	return mine
}

// forget drops those that have all their room, once there are many: there is
// nothing to know of them.
func (l *lanes) forget() {
	if len(l.all) < fewLanes {
		return
	}
	for m, o := range l.all {
		if o.refill(l.now()); o.left == laneRoom && len(o.turn) == 0 {
			delete(l.all, m)
		}
	}
}

func (o *lane) refill(now time.Time) {
	o.left = min(laneRoom, o.left+time.Duration(laneShare*float64(max(0, now.Sub(o.at)))))
	o.at = now
}

// enter waits for the machine's turn.
func (l *lanes) enter(ctx context.Context, mine *lane) error {
	ctx, cancel := context.WithTimeout(ctx, laneWait)
	defer cancel()
	select {
	case mine.turn <- struct{}{}:
	case <-ctx.Done():
		return errPace(laneWait)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if mine.refill(l.now()); mine.left > 0 {
		return nil
	}
	<-mine.turn
	return errPace(time.Duration(float64(-mine.left) / laneShare))
}

func (l *lanes) leave(mine *lane, began time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	mine.refill(l.now())
	mine.left -= l.now().Sub(began)
	<-mine.turn
}

// errPace says when to ask again. To an older agent it is an answer like any
// other that it cannot use: it asks again at its next sync.
func errPace(wait time.Duration) error {
	p := plain(http.StatusTooManyRequests, "the machine asks for more bundles than the server makes for one")
	p.retry = wait
	return p
}
