package ipc

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"latchkey"
	"latchkey/internal/frame"
	"latchkey/internal/logon"
)

// A desk is a Handler whose decisions are the test's.
type desk struct {
	logon   func(context.Context, logon.Screen, latchkey.Logon) latchkey.Verdict
	account func(latchkey.Logon, string) latchkey.Verdict

	mu      sync.Mutex
	refused []latchkey.Logon
}

func (d *desk) Logon(ctx context.Context, s logon.Screen, l latchkey.Logon) latchkey.Verdict {
	return d.logon(ctx, s, l)
}

func (d *desk) Account(_ context.Context, l latchkey.Logon, proof string) latchkey.Verdict {
	return d.account(l, proof)
}

func (d *desk) Refused(l latchkey.Logon) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.refused = append(d.refused, l)
}

// oneCode asks for a code and accepts 424242.
func oneCode(ctx context.Context, s logon.Screen, _ latchkey.Logon) latchkey.Verdict {
	a, err := s.Ask(ctx, latchkey.Prompt{ID: 7, Kind: latchkey.AskSecret, Label: "One-time code", Factor: latchkey.TOTP})
	switch {
	case errors.Is(err, logon.ErrCancelled):
		return latchkey.DenyVerdict(latchkey.Cancelled)
	case err != nil:
		return latchkey.DenyVerdict(latchkey.InternalError)
	case string(a.Value) == "424242" && a.Prompt == 7:
		return latchkey.Verdict{Outcome: latchkey.Allowed, Reason: latchkey.VerifiedOnline, Event: "e1"}
	}
	return latchkey.DenyVerdict(latchkey.WrongCode)
}

const passwd = "root:x:0:0:root:/root:/bin/sh\nana:x:1001:1001::/home/ana:/bin/sh\nben:x:1002:1002::/home/ben:/bin/sh\n"

func newServer(t *testing.T, h Handler) (*Server, *bytes.Buffer) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "passwd")
	if err := os.WriteFile(path, []byte(passwd), 0o644); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	return &Server{Handler: h, Log: slog.New(slog.NewTextHandler(&log, nil)), Now: time.Now, Passwd: path}, &log
}

func hello() frame.Hello { return frame.Hello{MinVersion: 1, MaxVersion: 1, Kind: "cli"} }

func begin(service, user string) frame.Begin {
	return frame.Begin{Op: frame.OpAuthenticate, Service: service, User: user}
}

// talkTo starts one conversation with s on an in-memory line.
func talkTo(ctx context.Context, s *Server, who Caller) (line net.Conn, over chan struct{}) {
	line, far := net.Pipe()
	over = make(chan struct{})
	go func() {
		defer close(over)
		s.converse(ctx, far, who)
	}()
	return line, over
}

func mustSend(t *testing.T, w io.Writer, ms ...frame.Message) {
	t.Helper()
	for _, m := range ms {
		if err := frame.Send(w, m); err != nil {
			t.Fatalf("sending %T: %v", m, err)
		}
	}
}

// next returns the next frame that is no TICK.
func next(t *testing.T, r io.Reader) frame.Message {
	t.Helper()
	for {
		m, err := frame.Receive(r)
		if err != nil {
			t.Fatalf("receiving: %v", err)
		}
		if _, tick := m.(frame.Tick); !tick {
			return m
		}
	}
}

func verdictOf(t *testing.T, r io.Reader) string {
	t.Helper()
	v, ok := next(t, r).(frame.Verdict)
	if !ok {
		t.Fatal("no VERDICT")
	}
	return v.Outcome.String() + " " + v.Reason
}

func TestALoginIsAskedAndAnswered(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ code, want string }{
		"the right code lets in": {"424242", "allow verified_online"},
		"a wrong code denies":    {"000000", "deny wrong_code"},
		"an empty code denies":   {"", "deny wrong_code"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, _ := newServer(t, &desk{logon: oneCode})
			line, over := talkTo(t.Context(), s, Caller{})
			mustSend(t, line, hello(), begin("login", "ana"))
			ask, ok := next(t, line).(frame.Ask)
			if !ok || ask.Kind != frame.Secret || ask.Label != "One-time code" {
				t.Fatalf("asked %+v", ask)
			}
			mustSend(t, line, frame.Answer{ID: ask.ID, Value: []byte(tc.code)})
			if got := verdictOf(t, line); got != tc.want {
				t.Errorf("%s, want %s", got, tc.want)
			}
			if _, err := frame.Receive(line); !errors.Is(err, io.EOF) {
				t.Errorf("after the verdict: %v, want the end", err)
			}
			<-over
		})
	}
}

func TestTheFirstFrameIsTheVersion(t *testing.T) {
	t.Parallel()
	s, _ := newServer(t, &desk{logon: oneCode})
	line, _ := talkTo(t.Context(), s, Caller{})
	defer line.Close()
	mustSend(t, line, frame.Hello{MinVersion: 1, MaxVersion: 9, Kind: "pam"}, begin("login", "ana"))
	m, err := frame.Receive(line)
	if tick, ok := m.(frame.Tick); err != nil || !ok || tick.Version != frame.Version {
		t.Errorf("%#v, %v: want TICK with version %d", m, err, frame.Version)
	}
}

func TestAFrontEndOfTheFutureIsTold(t *testing.T) {
	t.Parallel()
	s, _ := newServer(t, &desk{logon: oneCode})
	line, over := talkTo(t.Context(), s, Caller{})
	mustSend(t, line, frame.Hello{MinVersion: 8, MaxVersion: 9, Kind: "pam"})
	if got := verdictOf(t, line); got != "unavailable internal" {
		t.Errorf("%s, want unavailable", got)
	}
	<-over
}

func TestTheAgentTicksWhileItThinks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, _ := newServer(t, &desk{logon: func(ctx context.Context, s logon.Screen, l latchkey.Logon) latchkey.Verdict {
			time.Sleep(3500 * time.Millisecond) // a slow network, in the bubble's time
			v := oneCode(ctx, s, l)
			time.Sleep(2700 * time.Millisecond)
			return v
		}})
		line, over := talkTo(t.Context(), s, Caller{})
		mustSend(t, line, hello(), begin("login", "ana"))
		var got []string
		for {
			m, err := frame.Receive(line)
			if err != nil {
				t.Fatal(err)
			}
			switch m := m.(type) {
			case frame.Tick:
				got = append(got, "tick")
			case frame.Ask:
				got = append(got, "ask")
				time.Sleep(5 * time.Second) // the person looks for the phone
				mustSend(t, line, frame.Answer{ID: m.ID, Value: []byte("424242")})
			case frame.Verdict:
				got = append(got, m.Outcome.String())
			}
			if _, last := m.(frame.Verdict); last {
				break
			}
		}
		<-over
		// The first TICK is the version; nobody ticks while the person is asked.
		if want := "tick tick tick tick ask tick tick tick allow"; strings.Join(got, " ") != want {
			t.Errorf("%s, want %s", strings.Join(got, " "), want)
		}
	})
}

func TestALoginEndsAtTheCeiling(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, _ := newServer(t, &desk{logon: oneCode})
		line, over := talkTo(t.Context(), s, Caller{})
		start := time.Now()
		mustSend(t, line, hello(), begin("login", "ana"))
		if _, ok := next(t, line).(frame.Ask); !ok {
			t.Fatal("not asked")
		}
		if got := verdictOf(t, line); got != "deny cancelled" {
			t.Errorf("%s, want deny cancelled", got)
		}
		if took := time.Since(start); took != Ceiling {
			t.Errorf("took %v, want %v", took, Ceiling)
		}
		<-over
	})
}

func TestWhoeverDoesNotSpeakIsCutOff(t *testing.T) {
	t.Parallel()
	var half bytes.Buffer
	_ = frame.Send(&half, begin("login", "ana"))
	for name, sent := range map[string]func(net.Conn){
		"M11 says nothing at all":    func(net.Conn) {},
		"M11 stops after HELLO":      func(c net.Conn) { _ = frame.Send(c, hello()) },
		"M11 stops inside BEGIN":     func(c net.Conn) { _ = frame.Send(c, hello()); _, _ = c.Write(half.Bytes()[:9]) },
		"M11 one byte every second":  dribble,
		"M11 reads nothing it asked": func(c net.Conn) { _ = frame.Send(c, hello()); _ = frame.Send(c, begin("login", "ana")) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, _ := newServer(t, &desk{logon: oneCode})
				line, over := talkTo(t.Context(), s, Caller{UID: 1001})
				var sending sync.WaitGroup
				defer sending.Wait()
				defer line.Close()
				start := time.Now()
				sending.Go(func() { sent(line) })
				<-over
				if took := time.Since(start); took > openingTime+writeTime {
					t.Errorf("held a place for %v", took)
				}
			})
		})
	}
}

func dribble(c net.Conn) {
	var b bytes.Buffer
	_ = frame.Send(&b, hello())
	for _, x := range b.Bytes() {
		if _, err := c.Write([]byte{x}); err != nil {
			return
		}
		time.Sleep(time.Second)
	}
}

func TestAFrontEndThatStopsReadingIsCutOffWhileTheAgentThinks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, _ := newServer(t, &desk{logon: func(ctx context.Context, _ logon.Screen, _ latchkey.Logon) latchkey.Verdict {
			<-ctx.Done()
			return latchkey.Verdict{Outcome: latchkey.Allowed, Reason: latchkey.VerifiedOnline}
		}})
		line, over := talkTo(t.Context(), s, Caller{})
		defer line.Close()
		start := time.Now()
		mustSend(t, line, hello(), begin("login", "ana"))
		_, _ = frame.Receive(line) // the version, and nothing after it
		<-over
		if took := time.Since(start); took != tickEvery+writeTime {
			t.Errorf("held a place for %v", took)
		}
	})
}

func TestGarbageLetsNobodyIn(t *testing.T) {
	t.Parallel()
	huge := binary.BigEndian.AppendUint32(nil, 1<<30)
	allowing := &desk{logon: func(ctx context.Context, s logon.Screen, _ latchkey.Logon) latchkey.Verdict {
		_, _ = s.Ask(ctx, latchkey.Prompt{Kind: latchkey.AskSecret, Label: "One-time code"})
		return latchkey.Verdict{Outcome: latchkey.Allowed, Reason: latchkey.VerifiedOnline}
	}}
	for name, tc := range map[string]struct {
		opened bool // HELLO and BEGIN were sent
		raw    []byte
	}{
		"M11 a header of 1 GB instead of HELLO":  {false, huge},
		"M11 a header of 1 GB instead of ANSWER": {true, huge},
		"length 0":                               {true, []byte{0, 0, 0, 0}},
		"an unknown type":                        {true, []byte{0, 0, 0, 1, 0x55}},
		"a frame that only the agent may send":   {true, encode(t, frame.Verdict{Outcome: frame.Allow, Reason: "verified_online"})},
		"a second BEGIN":                         {true, encode(t, begin("login", "ben"))},
		"an ANSWER with another ID":              {true, encode(t, frame.Answer{ID: 99, Value: []byte("424242")})},
		"an ANSWER twice":                        {true, bytes.Repeat(encode(t, frame.Answer{ID: 1, Value: []byte("424242")}), 2)},
		"BEGIN before HELLO":                     {false, encode(t, begin("login", "ana"))},
		"text of another protocol":               {false, []byte("GET / HTTP/1.1\r\n\r\n")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, _ := newServer(t, allowing)
			if strings.HasSuffix(name, "twice") {
				s.Handler = &desk{logon: func(ctx context.Context, s logon.Screen, _ latchkey.Logon) latchkey.Verdict {
					_, _ = s.Ask(ctx, latchkey.Prompt{Kind: latchkey.AskSecret, Label: "One-time code"})
					<-ctx.Done()
					return latchkey.Verdict{Outcome: latchkey.Allowed, Reason: latchkey.VerifiedOnline}
				}}
			}
			line, over := talkTo(t.Context(), s, Caller{})
			if tc.opened {
				mustSend(t, line, hello(), begin("login", "ana"))
				if _, ok := next(t, line).(frame.Ask); !ok {
					t.Fatal("not asked")
				}
			}
			go func() { _, _ = line.Write(tc.raw) }()
			for {
				m, err := frame.Receive(line)
				if err != nil {
					break
				}
				if v, ok := m.(frame.Verdict); ok {
					t.Fatalf("VERDICT %s %s", v.Outcome, v.Reason)
				}
			}
			<-over
		})
	}
}

func encode(t *testing.T, m frame.Message) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := frame.Send(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestCancelAndGoingAwayEndTheLogin(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]func(*testing.T, net.Conn){
		"M02 CANCEL":         func(t *testing.T, c net.Conn) { mustSend(t, c, frame.Cancel{}) },
		"M02 a closed line":  func(_ *testing.T, c net.Conn) { _ = c.Close() },
		"M02 half an ANSWER": func(_ *testing.T, c net.Conn) { _, _ = c.Write([]byte{0, 0, 0, 9, 3}); _ = c.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ended := make(chan latchkey.Verdict, 1)
			s, _ := newServer(t, &desk{logon: func(ctx context.Context, s logon.Screen, l latchkey.Logon) latchkey.Verdict {
				v := oneCode(ctx, s, l)
				ended <- v
				return v
			}})
			line, over := talkTo(t.Context(), s, Caller{})
			defer line.Close()
			mustSend(t, line, hello(), begin("login", "ana"))
			if _, ok := next(t, line).(frame.Ask); !ok {
				t.Fatal("not asked")
			}
			leave(t, line)
			if v := <-ended; v.Reason != latchkey.Cancelled {
				t.Errorf("%s, want cancelled", v.Reason)
			}
			if m, err := frame.Receive(line); err == nil {
				t.Errorf("sent %T after the end", m)
			}
			<-over
		})
	}
}

func TestATouchNeedsNoAnswerAndMayGetOneLate(t *testing.T) {
	t.Parallel()
	s, log := newServer(t, &desk{logon: func(ctx context.Context, s logon.Screen, l latchkey.Logon) latchkey.Verdict {
		if _, err := s.Ask(ctx, latchkey.Prompt{ID: 1, Kind: latchkey.AskTouch, Label: "Touch the key"}); err != nil {
			return latchkey.DenyVerdict(latchkey.InternalError)
		}
		return oneCode(ctx, s, l)
	}})
	line, over := talkTo(t.Context(), s, Caller{})
	mustSend(t, line, hello(), begin("login", "ana"))
	touch, _ := next(t, line).(frame.Ask)
	code, _ := next(t, line).(frame.Ask)
	if touch.Kind != frame.Touch || code.Kind != frame.Secret {
		t.Fatalf("asked %+v, %+v", touch, code)
	}
	mustSend(t, line, frame.Answer{ID: touch.ID}, frame.Answer{ID: code.ID, Value: []byte("424242")})
	if got := verdictOf(t, line); got != "allow verified_online" {
		t.Errorf("%s\n%s", got, log)
	}
	<-over
}

func TestAPanicDeniesOneLogin(t *testing.T) {
	t.Parallel()
	s, log := newServer(t, &desk{logon: func(context.Context, logon.Screen, latchkey.Logon) latchkey.Verdict { panic("broken") }})
	line, over := talkTo(t.Context(), s, Caller{})
	mustSend(t, line, hello(), begin("login", "ana"))
	if m, err := frame.Receive(line); err != nil {
		t.Fatalf("version: %T %v", m, err)
	}
	if m, err := frame.Receive(line); err == nil {
		t.Errorf("sent %T", m)
	}
	<-over
	if !strings.Contains(log.String(), "login conversation broke") {
		t.Errorf("the log does not say so: %s", log)
	}
}

func TestWhatIsNoVerdictDenies(t *testing.T) {
	t.Parallel()
	until := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	now := until.Add(-6*24*time.Hour - time.Minute)
	for name, tc := range map[string]struct {
		v    latchkey.Verdict
		want string
	}{
		"the zero verdict":                    {latchkey.Verdict{}, "deny internal"},
		"an outcome nobody knows":             {latchkey.Verdict{Outcome: "yes", Reason: latchkey.VerifiedOnline}, "deny internal"},
		"an entry with the reason of a no":    {latchkey.Verdict{Outcome: latchkey.Allowed, Reason: latchkey.WrongCode}, "deny internal"},
		"an entry without a reason":           {latchkey.Verdict{Outcome: latchkey.Allowed}, "deny internal"},
		"a no with the reason of an entry":    {latchkey.Verdict{Outcome: latchkey.Denied, Reason: latchkey.Trusted}, "deny internal"},
		"an entry":                            {latchkey.Verdict{Outcome: latchkey.Allowed, Reason: latchkey.VerifiedOffline}, "allow verified_offline"},
		"a waiver":                            {latchkey.Verdict{Outcome: latchkey.NotRequired, Reason: latchkey.MachineExempt}, "not-required machine_exempt"},
		"a lock":                              {latchkey.Verdict{Outcome: latchkey.Locked, Reason: latchkey.LockedOut}, "locked locked"},
		"an agent that cannot say":            {latchkey.Verdict{Outcome: latchkey.Unavailable, Reason: latchkey.InternalError}, "unavailable internal"},
		"a text that no frame can carry":      {latchkey.Verdict{Outcome: latchkey.Denied, Reason: latchkey.WrongCode, Text: strings.Repeat("x", 9000)}, "deny wrong_code"},
		"an entry whose text has a NUL in it": {latchkey.Verdict{Outcome: latchkey.Allowed, Reason: latchkey.Trusted, Text: "a\x00b"}, "allow trusted"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			line, far := net.Pipe()
			go func() { _ = (&conversation{conn: far}).verdict(tc.v, now) }()
			if got := verdictOf(t, line); got != tc.want {
				t.Errorf("%s, want %s", got, tc.want)
			}
		})
	}
	v := verdictFrame(latchkey.Verdict{
		Outcome: latchkey.Allowed, Reason: latchkey.VerifiedOffline, Event: "e",
		Left: &latchkey.Left{Counted: true, Logins: 2, Until: until},
	}, now)
	if v.LoginsLeft == nil || *v.LoginsLeft != 2 || *v.DaysLeft != 7 || *v.ValidUntil != uint64(until.Unix()) || v.EventID != "e" {
		t.Errorf("%+v", v)
	}
}

func TestWhoHasOneFieldIsAskedForOneCode(t *testing.T) {
	t.Parallel()
	s, _ := newServer(t, &desk{logon: func(ctx context.Context, s logon.Screen, l latchkey.Logon) latchkey.Verdict {
		a, err := s.Ask(ctx, latchkey.Prompt{Kind: latchkey.AskChoice, Label: "Choose", Choices: []latchkey.Choice{{ID: "fido2"}, {ID: "hotp"}}})
		if err != nil || string(a.Value) != "hotp" {
			return latchkey.DenyVerdict(latchkey.InternalError)
		}
		if _, err := s.Ask(ctx, latchkey.Prompt{Kind: latchkey.AskConfirm, Label: "Trust?"}); !errors.Is(err, logon.ErrCancelled) {
			return latchkey.DenyVerdict(latchkey.InternalError)
		}
		return oneCode(ctx, s, l)
	}})
	line, over := talkTo(t.Context(), s, Caller{})
	b := begin("i3lock", "ana")
	b.Flags = frame.FlagOneField
	mustSend(t, line, hello(), b)
	ask, _ := next(t, line).(frame.Ask)
	if ask.Kind != frame.Secret {
		t.Fatalf("asked %+v", ask)
	}
	mustSend(t, line, frame.Answer{ID: ask.ID, Value: []byte("424242")})
	if got := verdictOf(t, line); got != "allow verified_online" {
		t.Error(got)
	}
	<-over
}
