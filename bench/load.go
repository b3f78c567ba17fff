//go:build linux

package main

import (
	"crypto/rand"
	"errors"
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

// errRest ends a level: the user has no code that is good now and never used.
var errRest = errors.New("no fresh code")

// login logs a user in, and times both questions.
func (l *load) login(i int) (time.Duration, error) {
	code, ok := l.users[i].next(time.Now())
	if !ok {
		return 0, errRest
	}
	id, err := logon.NewID(rand.Reader)
	if err != nil {
		return 0, err
	}
	began, conn := time.Now(), l.conns[i%len(l.conns)]
	state, err := conn.begin(id, l.users[i])
	if err == nil {
		err = conn.verify(id, l.users[i], state, code)
	}
	return time.Since(began), err
}

// verifications has a prompt for every user, and then times what happens once
// the code was typed.
func (l *load) verifications(clients int, d time.Duration) (level, error) {
	ids, states := make([]string, len(l.users)), make([]string, len(l.users))
	_, err := l.each(machines, 0, func(i int) (_ time.Duration, err error) {
		if ids[i], err = logon.NewID(rand.Reader); err == nil {
			states[i], err = l.conns[i%len(l.conns)].begin(ids[i], l.users[i])
		}
		return 0, err
	})
	if err != nil {
		return level{}, err
	}
	return l.each(clients, d, func(i int) (time.Duration, error) {
		code, ok := l.users[i].next(time.Now())
		if !ok || ids[i] == "" {
			return 0, errRest
		}
		id := ids[i]
		ids[i] = "" // a prompt is answered once
		began := time.Now()
		err := l.conns[i%len(l.conns)].verify(id, l.users[i], states[i], code)
		return time.Since(began), err
	})
}

// run lets clients log users in, one after the other, for some time or until
// nobody has a fresh code; once everybody where the time is 0.
func (l *load) run(clients int, d time.Duration) (level, error) { return l.each(clients, d, l.login) }

// each has clients do something for one user after the other, as run does.
func (l *load) each(clients int, d time.Duration, do func(i int) (time.Duration, error)) (level, error) {
	// The server ends connections on which nothing was said for a while.
	for _, c := range l.conns {
		if err := c.again(); err != nil {
			return level{}, err
		}
	}
	took, errs := make([][]time.Duration, clients), make([]error, clients)
	cpu, err := l.server.cpu()
	if err != nil {
		return level{}, err
	}
	own := ownCPU()
	var all sync.WaitGroup
	start := time.Now()
	for c := range clients {
		all.Go(func() { took[c], errs[c] = l.client(c, clients, start, d, do) })
	}
	all.Wait()
	out := level{elapsed: time.Since(start), clients: ownCPU() - own}
	for c := range clients {
		if errs[c] != nil {
			return level{}, errs[c]
		}
		out.took = append(out.took, took[c]...)
	}
	if len(out.took) == 0 {
		return level{}, fmt.Errorf("none of %d users has a fresh code", len(l.users))
	}
	after, err := l.server.cpu()
	out.server = after - cpu
	return out, err
}

// client does it for every clients-th user, beginning with the c-th.
func (l *load) client(c, clients int, start time.Time, d time.Duration, do func(int) (time.Duration, error)) ([]time.Duration, error) {
	took := make([]time.Duration, 0, 4096)
	for idle := false; !idle; {
		idle = true
		for i := c; i < len(l.users); i += clients {
			if d > 0 && time.Since(start) > d {
				return took, nil
			}
			t, err := do(i)
			if errors.Is(err, errRest) {
				continue
			}
			if err != nil {
				return nil, err
			}
			took, idle = append(took, t), false
		}
		if d == 0 {
			return took, nil
		}
	}
	return took, nil
}

// rest waits until there are so many fresh codes: every one is used once.
func (l *load) rest(codes int) {
	for codes > 0 {
		n, now := 0, time.Now()
		for _, u := range l.users {
			n += u.fresh(now)
		}
		if n >= min(codes, 2*len(l.users)) {
			return
		}
		time.Sleep(100 * time.Millisecond)
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
