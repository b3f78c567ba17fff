package pam

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"latchkey/internal/frame"
)

// allowBytes is a VERDICT that would let in if anything around it were right.
var allowBytes = []byte{0, 0, 0, 5, 0x84, 60, 0, 1, 1}

func TestABrokenAgentLetsNobodyIn(t *testing.T) {
	t.Parallel()
	unavailable := noAgent + "\n= authenticate " + authinfoUnavail
	for name, tc := range map[string]struct {
		script func(*peer)
		ops    []string
		screen string
	}{
		"it closes at once":              {func(p *peer) {}, nil, unavailable},
		"it closes after a TICK":         {func(p *peer) { p.Send(frame.Tick{}) }, nil, unavailable},
		"it closes inside a frame":       {func(p *peer) { p.Raw(allowBytes[:8]...) }, nil, unavailable},
		"it closes while the user types": {func(p *peer) { p.Send(frame.Ask{ID: 1, Kind: frame.Secret, Label: "Code"}); p.c.Close() }, []string{"answer=1"}, "OFF|Code: \n" + unavailable},
		"it sends text":                  {func(p *peer) { p.Raw([]byte("HTTP/1.1 200 OK\r\n\r\n")...); p.Raw(allowBytes...) }, nil, unavailable},
		"it sends an unknown type":       {func(p *peer) { p.Raw(0, 0, 0, 1, 0x85); p.Raw(allowBytes...) }, nil, unavailable},
		"it sends a type of a front-end": {func(p *peer) { p.Send(frame.Cancel{}); p.Raw(allowBytes...) }, nil, unavailable},
		"it sends length 0":              {func(p *peer) { p.Raw(0, 0, 0, 0); p.Raw(allowBytes...) }, nil, unavailable},
		"M11 it announces a gigabyte":    {func(p *peer) { p.Raw(0x40, 0, 0, 0); p.Raw(make([]byte, 70000)...) }, nil, unavailable},
		"it sends an outcome of 5":       {func(p *peer) { p.Raw(0, 0, 0, 5, 0x84, 60, 0, 1, 5) }, nil, unavailable},
		"it sends a verdict of nothing":  {func(p *peer) { p.Raw(0, 0, 0, 1, 0x84) }, nil, unavailable},
		"it sends two outcomes":          {func(p *peer) { p.Raw(0, 0, 0, 9, 0x84, 60, 0, 1, 0, 60, 0, 1, 1) }, nil, unavailable},
		"it chooses another version":     {func(p *peer) { p.Send(frame.Tick{Version: 2}); p.Raw(allowBytes...) }, nil, unavailable},
		"it asks a choice of nothing": {func(p *peer) {
			p.Raw(0, 0, 0, 16, 0x81, 30, 0, 4, 0, 0, 0, 1, 40, 0, 1, 3, 41, 0, 1, 'x')
			p.Raw(allowBytes...)
		}, nil, unavailable},
		"it asks, then closes on the way": {func(p *peer) { p.Ask(frame.Ask{ID: 1, Kind: frame.Secret, Label: "Code"}) }, []string{"answer=1"}, "OFF|Code: \n" + unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := play(t, tc.script)
			screen, log := drive(t, a, "login", "nobody", "", append(tc.ops, "authenticate")...)
			if screen != tc.screen {
				t.Errorf("screen\n%s\nwant\n%s", screen, tc.screen)
			}
			if !strings.Contains(log, "LOG3|pam_latchkey_asan(login:auth): agent unavailable: ") {
				t.Errorf("log %q does not say what happened", log)
			}
		})
	}
}

// within is far above the module's own limits and far below its ceiling: it
// tells the one limit from the other on a loaded machine.
func within(t *testing.T, limit time.Duration, f func()) {
	t.Helper()
	start := time.Now()
	f()
	if d := time.Since(start); d > limit {
		t.Errorf("took %s", d)
	}
}

func TestASilentOrAbsentAgentIsGivenUp(t *testing.T) {
	t.Parallel()
	unavailable := noAgent + "\n= authenticate " + authinfoUnavail
	stopped := func(t *testing.T, backlog int) *agent {
		a := play(t, nil)
		fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { syscall.Close(fd) })
		if err := syscall.Bind(fd, &syscall.SockaddrUnix{Name: a.Socket}); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Listen(fd, backlog); err != nil {
			t.Fatal(err)
		}
		return a
	}
	for name, tc := range map[string]struct {
		agent  func(*testing.T) *agent
		args   string
		ops    []string
		screen string
		why    string
	}{
		"F07 no agent is running": {func(t *testing.T) *agent { return play(t, nil) }, "", nil, unavailable, "it is not running"},
		"a dead agent left its socket behind": {func(t *testing.T) *agent {
			a := stopped(t, 1)
			if err := os.Rename(a.Socket, a.Socket+".old"); err != nil {
				t.Fatal(err)
			}
			fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
			if err != nil {
				t.Fatal(err)
			}
			syscall.Bind(fd, &syscall.SockaddrUnix{Name: a.Socket})
			syscall.Close(fd)
			return a
		}, "", nil, unavailable, "it is not running"},
		"a stopped agent accepts in the kernel and is silent": {func(t *testing.T) *agent { return stopped(t, 8) }, "", nil, unavailable, "silent"},
		"a stopped agent takes as long as timeout= says":      {func(t *testing.T) *agent { return stopped(t, 8) }, "timeout=1", nil, unavailable, "took too long"},
		"a stopped agent whose queue is full": {func(t *testing.T) *agent {
			a := stopped(t, 0)
			for range 3 { // the kernel takes one more than the backlog
				fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK, 0)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { syscall.Close(fd) })
				syscall.Connect(fd, &syscall.SockaddrUnix{Name: a.Socket})
			}
			return a
		}, "", nil, unavailable, "it takes no connection"},
		"an agent that stops after the answer": {func(t *testing.T) *agent {
			return play(t, func(p *peer) {
				p.Ask(frame.Ask{ID: 1, Kind: frame.Secret, Label: "Code"})
				p.Next() // until the front-end gives up
			})
		}, "", []string{"answer=1"}, "OFF|Code: \n" + unavailable, "silent"},
		"an agent that stops inside a frame": {func(t *testing.T) *agent {
			return play(t, func(p *peer) { p.Raw(allowBytes[:8]...); p.Next() })
		}, "", nil, unavailable, "stopped inside a frame"},
		"an agent that ticks for ever meets the ceiling": {func(t *testing.T) *agent {
			return play(t, func(p *peer) {
				gone := make(chan bool)
				go func() { p.Next(); close(gone) }()
				for {
					select {
					case <-gone:
						return
					case <-time.After(50 * time.Millisecond):
						p.Send(frame.Tick{})
					}
				}
			})
		}, "timeout=2", nil, unavailable, "took too long"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			within(t, 30*time.Second, func() {
				screen, log := drive(t, tc.agent(t), "login", "nobody", tc.args, append(tc.ops, "authenticate")...)
				if screen != tc.screen || !strings.Contains(log, tc.why) {
					t.Errorf("screen\n%s\nwant\n%s\nlog\n%s", screen, tc.screen, log)
				}
			})
		})
	}
}

func TestASlowAgentIsHeardOut(t *testing.T) {
	t.Parallel()
	t.Run("a byte at a time", func(t *testing.T) {
		t.Parallel()
		a := play(t, func(p *peer) {
			for _, b := range append([]byte{0, 0, 0, 1, 0x83}, allowBytes...) {
				p.Raw(b)
			}
		})
		if screen, _ := drive(t, a, "login", "nobody", "", "authenticate"); screen != "= authenticate "+success {
			t.Error(screen)
		}
	})
	t.Run("a frame of 65536 bytes full of what nobody knows", func(t *testing.T) {
		t.Parallel()
		a := play(t, func(p *peer) {
			f, err := frame.Verdict{Outcome: frame.Allow}.Encode()
			if err != nil {
				t.Error(err)
			}
			f.Fields = append(f.Fields, frame.Field{Tag: 200, Value: make([]byte, 65536-1-4-3)})
			if err := frame.Write(p.c, f); err != nil {
				t.Error(err)
			}
		})
		if screen, _ := drive(t, a, "login", "nobody", "", "authenticate"); screen != "= authenticate "+success {
			t.Error(screen)
		}
	})
	t.Run("a thinking agent ticks longer than the silence allowed", func(t *testing.T) {
		t.Parallel()
		a := play(t, func(p *peer) {
			for range 4 { // 4 s: more than the 3 s of silence that mean death
				p.Send(frame.Tick{})
				<-time.After(time.Second)
			}
			p.Send(frame.Verdict{Outcome: frame.Allow})
		})
		if screen, _ := drive(t, a, "login", "nobody", "", "authenticate"); screen != "= authenticate "+success {
			t.Error(screen)
		}
	})
	t.Run("an agent that starts while the module retries", func(t *testing.T) {
		t.Parallel()
		a := play(t, verdict(frame.Verdict{Outcome: frame.Allow}))
		late := a.Socket + ".ready"
		if err := os.Rename(a.Socket, late); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(400*time.Millisecond, func() { os.Rename(late, a.Socket) })
		if screen, _ := drive(t, a, "login", "nobody", "", "authenticate"); screen != "= authenticate "+success {
			t.Error(screen)
		}
	})
}

func TestM02AUserWhoAnswersAfterTheCeilingIsNotCharged(t *testing.T) {
	t.Parallel()
	a := play(t, func(p *peer) {
		p.Send(frame.Ask{ID: 1, Kind: frame.Secret, Label: "Code"})
		p.Next()
	})
	screen, _ := drive(t, a, "login", "nobody", "timeout=1", "answer=@late:424242", "authenticate")
	if want := "OFF|Code: \n= authenticate " + authErr; screen != want || a.Seen() != "CANCEL" {
		t.Errorf("screen\n%s\nthe agent got %q", screen, a.Seen())
	}
}

func TestM02AProcessThatDiesAtThePromptSendsNoAnswer(t *testing.T) {
	t.Parallel()
	b := artifacts(t)
	a := play(t, code)
	dir := stack(t, "login", b.module, a.Socket, "auth required MODULE socket=SOCKET")
	if _, err := runDriver(b.driver, dir, "login", "nobody", "answer=@kill", "authenticate"); err == nil {
		t.Error("the driver lived")
	}
	if got := a.Seen(); got != "EOF" {
		t.Errorf("the agent got %q", got)
	}
}

func TestSocketsThatAreNotRootsAloneAreRefused(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*testing.T, *agent){
		"a directory of another user": func(t *testing.T, a *agent) { check(t, os.Chown(a.dir, 65534, 0)) },
		"a directory that a group may write": func(t *testing.T, a *agent) {
			check(t, os.Chmod(a.dir, 0o775))
		},
		"a directory that all may write, sticky": func(t *testing.T, a *agent) {
			check(t, os.Chmod(a.dir, 0o777|os.ModeSticky))
		},
		"a link to a good directory": func(t *testing.T, a *agent) {
			link := filepath.Join(t.TempDir(), "l")
			check(t, os.Symlink(a.dir, link))
			a.Socket = filepath.Join(link, "login.sock")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := play(t, verdict(frame.Verdict{Outcome: frame.Allow}))
			spoil(t, a)
			screen, log := drive(t, a, "login", "nobody", "", "authenticate")
			if screen != noAgent+"\n= authenticate "+authinfoUnavail || !strings.Contains(log, "does not belong to root alone") {
				t.Errorf("screen\n%s\nlog\n%s", screen, log)
			}
			if len(a.begun) != 0 {
				t.Error("the agent was asked")
			}
		})
	}
}

func TestAListenerOfAnotherUserIsRefused(t *testing.T) {
	t.Parallel()
	b := artifacts(t)
	a := play(t, nil)
	check(t, os.Chown(a.dir, 65534, 65534))
	impostor := impostor(t, b, a.Socket)
	defer impostor()
	check(t, os.Chown(a.dir, 0, 0))
	screen, log := drive(t, a, "login", "nobody", "", "authenticate")
	if screen != noAgent+"\n= authenticate "+authinfoUnavail || !strings.Contains(log, "does not belong to root alone") {
		t.Errorf("screen\n%s\nlog\n%s", screen, log)
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestTheBytesOfThisFileAreAnAllow(t *testing.T) {
	t.Parallel()
	if n := binary.BigEndian.Uint32(allowBytes); int(n) != len(allowBytes)-4 {
		t.Fatal("length")
	}
	m, err := frame.Receive(strings.NewReader(string(allowBytes)))
	if err != nil || m.(frame.Verdict).Outcome != frame.Allow {
		t.Errorf("%v %v", m, err)
	}
}
