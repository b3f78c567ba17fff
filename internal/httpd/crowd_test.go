package httpd

import (
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// A knock is a connection from an address; nothing comes over it.
type knock struct {
	net.Conn
	from   string
	closed bool
}

func (k *knock) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.ParseIP(k.from), Port: 1} }
func (k *knock) Close() error         { k.closed = true; return nil }

// A street is a listener to which knocks come.
type street struct {
	net.Listener
	knocks []*knock
}

func (s *street) Accept() (net.Conn, error) {
	if len(s.knocks) == 0 {
		return nil, io.EOF
	}
	k := s.knocks[0]
	s.knocks = s.knocks[1:]
	return k, nil
}

// come lets some knock from an address and returns who was let in.
func (c *crowd) come(n int, from string) (in []*guest) {
	s := c.Listener.(*street)
	for range n {
		s.knocks = append(s.knocks, &knock{from: from})
	}
	for {
		conn, err := c.Accept()
		if errors.Is(err, io.EOF) {
			return in
		}
		in = append(in, guestOf(conn))
	}
}

func stay(all []*guest) (n int) {
	for _, g := range all {
		if !g.Conn.(*knock).closed {
			n++
		}
	}
	return n
}

func TestAStrangerHoldsAFewConnectionsAndMakesRoom(t *testing.T) {
	t.Parallel()
	now := time.Unix(0, 0)
	c := newCrowd(&street{}, func() time.Time { return now })
	first := c.come(mostFromOne+500, "192.0.2.1")
	if len(first) != mostFromOne {
		t.Errorf("%d were let in at once", len(first))
	}
	if other := c.come(1, "192.0.2.2"); len(other) != 1 {
		t.Error("another address found no room")
	}
	now = now.Add(courtesy)
	if again := c.come(10, "192.0.2.1"); len(again) != 10 || stay(first) != mostFromOne-10 || stay(first[:10]) != 0 {
		t.Errorf("%d more were let in, and %d of the others stay", len(again), stay(first))
	}
	for i := range mostStrangers {
		now = now.Add(time.Millisecond)
		if len(c.come(1, "198.51.100."+string(rune('0'+i%10)))) != 1 && i < mostStrangers/2 {
			t.Fatalf("no room for stranger %d", i)
		}
	}
	if n := len(c.groups[strangers]); n > mostStrangers {
		t.Errorf("%d strangers", n)
	}
}

// All machines may come from one address, and stay.
func TestEightThousandMachinesBehindOneAddressStayConnected(t *testing.T) {
	t.Parallel()
	now := time.Unix(0, 0)
	c := newCrowd(&street{}, func() time.Time { return now })
	var all []*guest
	for i := range 8000 {
		in := c.come(1, "192.0.2.1")
		if len(in) != 1 {
			t.Fatalf("machine %d found no room", i)
		}
		in[0].known("machine " + strings.Repeat("x", i%7) + string(rune(i)))
		all = append(all, in...)
	}
	now = now.Add(time.Hour)
	c.come(mostFromOne*2, "192.0.2.1") // strangers beside them
	if n := stay(all); n != 8000 {
		t.Errorf("%d of them stay", n)
	}
	for _, g := range all {
		if err := g.Close(); err != nil || g.strange() {
			t.Fatal(err)
		}
	}
	if c.open != len(c.groups[strangers]) || len(c.groups) != 2 {
		t.Errorf("%d are counted, in %d groups", c.open, len(c.groups))
	}
}

func TestOneMachineHoldsNoMoreThanItsConnections(t *testing.T) {
	t.Parallel()
	c := newCrowd(&street{}, time.Now)
	all := c.come(mostOfOne+9, "192.0.2.1")
	for _, g := range all {
		g.known("machine m")
	}
	if n := stay(all); n != mostOfOne || stay(all[:9]) != 0 {
		t.Errorf("%d stay, %d of them of the oldest", n, stay(all[:9]))
	}
	other := c.come(1, "192.0.2.1")[0]
	if other.known("machine o"); other.strange() || stay(all) != mostOfOne {
		t.Error("another machine is in its way")
	}
	_ = all[0].Close() // its server notices late
	all[0].known("machine m")
	if slices.Contains(c.groups["machine m"], all[0]) {
		t.Error("a closed one counts again")
	}
}

// A body has room as it comes, not as it is announced.
func TestNoRoomIsGivenForABodyThatDoesNotCome(t *testing.T) {
	t.Parallel()
	for _, length := range []int64{-1, 10, firstRead + 1, 64 << 10, 1 << 20} {
		most := 0
		r := &http.Request{ContentLength: length, Body: io.NopCloser(reading(func(p []byte) { most = max(most, len(p)) }))}
		if _, err := readBody(nil, r, 1<<20); err == nil && length > 0 {
			t.Errorf("%d bytes that do not come: no error", length)
		}
		if most > firstRead {
			t.Errorf("%d announced bytes get %d at once", length, most)
		}
	}
}

type reading func(p []byte)

func (r reading) Read(p []byte) (int, error) {
	r(p)
	return 0, io.ErrUnexpectedEOF
}
