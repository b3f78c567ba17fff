package ipc

import "sync"

// Limits bound how many conversations run at the same time.
type Limits struct {
	Root   int // of uid 0: sshd, login, sudo and their like; 1,024 by default
	Each   int // of any other uid; 8 by default
	Others int // of all uids but 0 together; 256 by default
}

// filled puts the defaults in place of zeros.
func (l Limits) filled() Limits {
	fill := func(n *int, standard int) {
		if *n <= 0 {
			*n = standard
		}
	}
	fill(&l.Root, 1024)
	fill(&l.Each, 8)
	fill(&l.Others, 256)
	return l
}

// A gate counts conversations. Root's places are its own: whatever other users
// do, sshd finds one.
type gate struct {
	mu     sync.Mutex
	by     map[uint32]int
	others int
	left   chan struct{} // closed when somebody leaves; nil: nobody waits for that
}

// enter takes a place for uid, or reports that there is none.
func (g *gate) enter(uid uint32, l Limits) bool {
	l = l.filled()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.by == nil {
		g.by = map[uint32]int{}
	}
	if uid == 0 {
		if g.by[0] >= l.Root {
			return false
		}
		g.by[0]++
		return true
	}
	if g.by[uid] >= l.Each || g.others >= l.Others {
		return false
	}
	g.by[uid]++
	g.others++
	return true
}

// leave gives the place back.
func (g *gate) leave(uid uint32) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.by[uid]--; g.by[uid] <= 0 {
		delete(g.by, uid)
	}
	if uid != 0 {
		g.others--
	}
	if g.left != nil {
		close(g.left)
		g.left = nil
	}
}

// next is closed when the next one leaves; nil where nobody is there.
func (g *gate) next() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.by) == 0 {
		return nil
	}
	if g.left == nil {
		g.left = make(chan struct{})
	}
	return g.left
}
