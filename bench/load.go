//go:build linux

package main

import (
	"crypto/rand"
	"fmt"
	"sync"
	"syscall"
	"time"

	"latchkey/internal/logon"
)

// machines is how many machines the logins of the load come from. The clients
// share them out.
const machines = 32

// A load is many logins at a time. Every user has one machine, so that after
// his first login each one is an ordinary login.
type load struct {
	server *server
	users  []*user
	conns  []*client
}

// A level is what a number of clients got done.
type level struct {
	took    []time.Duration
	elapsed time.Duration
	server  time.Duration // processor time
	clients time.Duration // processor time
}

func (l level) perSecond() float64 { return float64(len(l.took)) / l.elapsed.Seconds() }

// run lets clients log users in, one after the other, for some time, or until
// every user was logged in once where the time is 0.
func (l *load) run(clients int, d time.Duration) (level, error) {
	took, errs := make([][]time.Duration, clients), make([]error, clients)
	cpu, err := l.server.cpu()
	if err != nil {
		return level{}, err
	}
	own := ownCPU()
	var all sync.WaitGroup
	start := time.Now()
	for c := range clients {
		all.Go(func() { took[c], errs[c] = l.client(c, clients, start, d) })
	}
	all.Wait()
	out := level{elapsed: time.Since(start), clients: ownCPU() - own}
	for c := range clients {
		if errs[c] != nil {
			return level{}, errs[c]
		}
		out.took = append(out.took, took[c]...)
	}
	after, err := l.server.cpu()
	out.server = after - cpu
	return out, err
}

// client logs in every clients-th user, beginning with the c-th.
func (l *load) client(c, clients int, start time.Time, d time.Duration) ([]time.Duration, error) {
	var took []time.Duration
	for {
		idle := true
		for i := c; i < len(l.users); i += clients {
			if d > 0 && time.Since(start) > d {
				return took, nil
			}
			code, ok := l.users[i].next(time.Now())
			if !ok {
				continue
			}
			idle = false
			id, err := logon.NewID(rand.Reader)
			if err != nil {
				return nil, err
			}
			begin := time.Now()
			if err := l.conns[i%len(l.conns)].login(id, l.users[i].name, code); err != nil {
				return nil, err
			}
			took = append(took, time.Since(begin))
		}
		if d == 0 {
			return took, nil
		}
		if idle {
			return nil, fmt.Errorf("out of codes: %d users are too few", len(l.users))
		}
	}
}

// ownCPU is the processor time that this program has used.
func ownCPU() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
