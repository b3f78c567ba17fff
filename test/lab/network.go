//go:build linux

package lab

import (
	"fmt"
	"net"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// A Cut is a way in which a machine can lose its server. They look different
// from the inside, and a login must be quick under each.
type Cut string

const (
	Unplugged   Cut = "unplugged"    // the machine's own cable: connecting fails at once
	ServerGone  Cut = "server gone"  // the server's end is down: three seconds until ARP gives up
	BlackHole   Cut = "black hole"   // packets vanish: only a time limit ends the wait
	Rejected    Cut = "rejected"     // a firewall says no: connecting fails at once
	PortsClosed Cut = "ports closed" // nobody listens any more: the host answers with a reset
)

// Cuts are all of them.
var Cuts = []Cut{Unplugged, ServerGone, BlackHole, Rejected, PortsClosed}

// A cable joins a machine to the server, each with an address of its own.
type cable struct {
	lab     *Lab
	machine *Cell
	n       int // 1 and up
	cut     Cut // "" while it carries
}

func (l *Lab) join(m *Cell) *cable {
	l.tb.Helper()
	l.machines++
	c := &cable{lab: l, machine: m, n: l.machines}
	// Made inside the server's namespace: outside there is never a device whose
	// name could clash.
	l.ip("-n", l.server.netns, "link", "add", c.serverEnd(), "type", "veth", "peer", "name", machineEnd, "netns", m.netns)
	l.ip("-n", l.server.netns, "addr", "add", c.serverAddress()+"/24", "dev", c.serverEnd())
	l.ip("-n", m.netns, "addr", "add", c.machineAddress()+"/24", "dev", machineEnd)
	l.ip("-n", l.server.netns, "link", "set", c.serverEnd(), "up")
	l.ip("-n", m.netns, "link", "set", machineEnd, "up")
	return c
}

const machineEnd = "eth0"

func (c *cable) serverEnd() string      { return fmt.Sprintf("machine%d", c.n) }
func (c *cable) serverAddress() string  { return fmt.Sprintf("10.77.%d.1", c.n) }
func (c *cable) machineAddress() string { return fmt.Sprintf("10.77.%d.2", c.n) }

// Cut takes the server away from the machine. Connections that are open stay
// open and carry nothing, as in life.
func (c *cable) Cut(how Cut) {
	c.lab.tb.Helper()
	if c.cut != "" {
		c.Restore()
	}
	c.cut = how
	switch how {
	case Unplugged:
		c.lab.ip("-n", c.machine.netns, "link", "set", machineEnd, "down")
	case ServerGone:
		c.lab.ip("-n", c.lab.server.netns, "link", "set", c.serverEnd(), "down")
	case BlackHole:
		c.filter("drop")
	case Rejected:
		c.filter("reject with icmpx type admin-prohibited")
	case PortsClosed:
		c.filter("meta l4proto tcp reject with tcp reset")
	default:
		c.lab.tb.Fatalf("lab: no cut %q", how)
	}
}

// Restore undoes the cut.
func (c *cable) Restore() {
	c.lab.tb.Helper()
	switch c.cut {
	case Unplugged:
		c.lab.ip("-n", c.machine.netns, "link", "set", machineEnd, "up")
	case ServerGone:
		c.lab.ip("-n", c.lab.server.netns, "link", "set", c.serverEnd(), "up")
	case BlackHole, Rejected, PortsClosed:
		c.nft("delete table inet " + c.serverEnd())
	}
	c.cut = ""
}

func (c *cable) filter(verdict string) {
	c.lab.tb.Helper()
	table := c.serverEnd()
	c.nft(fmt.Sprintf(`add table inet %[1]s
add chain inet %[1]s in { type filter hook input priority 0; }
add rule inet %[1]s in iifname "%[1]s" %[2]s`, table, verdict))
}

func (c *cable) nft(rules string) {
	c.lab.tb.Helper()
	if r := c.lab.server.Run(rules, "nft", "-f", "-"); r.Code != 0 {
		c.lab.tb.Fatalf("lab: nft %s: %v", rules, r)
	}
}

// Listen takes a port of the server's cell, in place of a server, until the
// test ends. What it does with connections is the test's.
func (l *Lab) Listen(port int) net.Listener {
	l.tb.Helper()
	var listener net.Listener
	l.server.inside(func() (err error) {
		listener, err = net.Listen("tcp4", fmt.Sprintf("0.0.0.0:%d", port))
		return err
	})
	l.tb.Cleanup(func() { listener.Close() })
	return listener
}

// DialServer connects to the real server's port for agents, from beside it.
func (l *Lab) DialServer() (net.Conn, error) { return l.DialServerPort(agentPort) }

// DialServerPort connects to a port of the server's cell, from beside it.
func (l *Lab) DialServerPort(port int) (conn net.Conn, err error) {
	l.server.inside(func() error {
		conn, err = net.DialTimeout("tcp4", fmt.Sprintf("127.0.0.1:%d", port), patience)
		return nil // for the caller
	})
	return conn, err
}

// inside runs f in the cell's network namespace. A socket made there stays
// there, whoever uses it later.
func (c *Cell) inside(f func() error) {
	c.tb.Helper()
	// A namespace is a thread's. The thread is brought back and not thrown
	// away: the children that it started would die with it (see dieWithUs).
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	must(c.tb, err)
	defer home.Close()
	away, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", c.holder))
	must(c.tb, err)
	defer away.Close()

	must(c.tb, unix.Setns(int(away.Fd()), unix.CLONE_NEWNET))
	err = f()
	if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil {
		panic(back) // this thread must not serve anything else
	}
	must(c.tb, err)
}
