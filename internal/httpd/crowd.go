package httpd

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// How many connections are open at once. Somebody who is known is a machine that
// has enrolled or a token that is good; until then everybody is a stranger, and
// thousands of machines may come from one address (NAT) at the same time: each is
// a stranger for the moment between its connection and its first request.
const (
	mostOpen      = 32_768
	mostStrangers = 4096
	mostFromOne   = 1024 // strangers, of one address
	mostOfOne     = 256  // of one machine, or of one token
	// courtesy is how long a stranger who was faster is left alone; then he makes
	// room for the next one.
	courtesy = time.Second
	// strangeIdle is how long a stranger's connection may be idle.
	strangeIdle = 10 * time.Second
)

// A crowd is a listener that knows how many it let in.
type crowd struct {
	net.Listener
	now func() time.Time

	mu     sync.Mutex
	open   int
	groups map[string][]*guest // the oldest first
}

const strangers = "strangers"

func newCrowd(l net.Listener, now func() time.Time) *crowd {
	return &crowd{Listener: l, now: now, groups: map[string][]*guest{}}
}

// A guest is one connection.
type guest struct {
	net.Conn
	crowd *crowd
	since time.Time

	// The crowd's lock guards what follows.
	groups []string // that it counts in; none once it is closed
	idle   *time.Timer
}

// Accept returns the next one for whom there is room.
func (c *crowd) Accept() (net.Conn, error) {
	for {
		conn, err := c.Listener.Accept()
		if err != nil {
			return nil, err
		}
		g := &guest{Conn: conn, crowd: c, since: c.now()}
		if c.enter(g) {
			return g, nil
		}
		_ = conn.Close() // there is no room for it
	}
}

func (c *crowd) enter(g *guest) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	from := "from " + host(g.RemoteAddr().String())
	if c.open >= mostOpen || !c.room(from, mostFromOne) || !c.room(strangers, mostStrangers) {
		return false
	}
	c.open++
	c.join(g, from, strangers)
	return true
}

// room makes room in a group of strangers: whoever has been there longest and
// has not said who he is, leaves.
func (c *crowd) room(group string, most int) bool {
	all := c.groups[group]
	if len(all) < most {
		return true
	}
	if c.now().Sub(all[0].since) >= courtesy {
		c.dismiss(all[0])
		return true
	}
	return false
}

func (c *crowd) dismiss(g *guest) {
	c.leave(g)
	_ = g.Conn.Close() // its reader notices
}

func (c *crowd) join(g *guest, groups ...string) {
	g.groups = groups
	for _, name := range groups {
		c.groups[name] = append(c.groups[name], g)
	}
}

func (c *crowd) leave(g *guest) {
	if g.groups != nil {
		c.open--
	}
	c.forget(g)
	if g.idle != nil {
		g.idle.Stop()
	}
}

// forget takes a guest out of its groups.
func (c *crowd) forget(g *guest) {
	for _, name := range g.groups {
		rest := slices.DeleteFunc(c.groups[name], func(o *guest) bool { return o == g })
		if c.groups[name] = rest; len(rest) == 0 {
			delete(c.groups, name)
		}
	}
	g.groups = nil
}

// Close implements net.Conn.
func (g *guest) Close() error {
	g.crowd.mu.Lock()
	g.crowd.leave(g)
	g.crowd.mu.Unlock()
	return g.Conn.Close()
}

// strange reports whether nobody knows whose connection it is; of none that is
// counted it is false.
func (g *guest) strange() bool {
	if g == nil {
		return false
	}
	g.crowd.mu.Lock()
	defer g.crowd.mu.Unlock()
	return slices.Contains(g.groups, strangers)
}

// known says who a guest is. Of too many of one machine or token the oldest is
// closed.
func (g *guest) known(who string) {
	c := g.crowd
	c.mu.Lock()
	defer c.mu.Unlock()
	if g.groups == nil || g.groups[0] == who {
		return
	}
	if all := c.groups[who]; len(all) >= mostOfOne {
		c.dismiss(all[0])
	}
	c.forget(g)
	c.join(g, who)
}

// rest lets an idle stranger wait for a while only.
func (g *guest) rest(idle bool) {
	g.crowd.mu.Lock()
	defer g.crowd.mu.Unlock()
	if g.idle != nil {
		g.idle.Stop()
		g.idle = nil
	}
	if idle && slices.Contains(g.groups, strangers) {
		g.idle = time.AfterFunc(strangeIdle, func() { _ = g.Close() })
	}
}

// guestOf is the guest under what the server calls a connection.
func guestOf(c net.Conn) *guest {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	g, _ := c.(*guest)
	return g
}

type guestKey struct{}

// welcome keeps the guest at hand for the requests of its connection.
func welcome(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, guestKey{}, guestOf(c))
}

func guestIn(ctx context.Context) *guest {
	g, _ := ctx.Value(guestKey{}).(*guest)
	return g
}

func watch(c net.Conn, s http.ConnState) {
	if g := guestOf(c); g != nil {
		g.rest(s == http.StateIdle)
	}
}

// introduce says whose the connection of a request is.
func introduce(ctx context.Context, who string) {
	if g := guestIn(ctx); g != nil {
		g.known(strings.Clone(who))
	}
}
