package online

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"latchkey"
	"latchkey/internal/api"
	"latchkey/internal/logon"
	"latchkey/internal/seal"
)

// hurried gives the client a fraction of a second: these servers never answer.
func hurried(w *world) {
	w.Budgets = Budgets{Connect: 100 * time.Millisecond, Total: 300 * time.Millisecond}
}

// patient lets a busy machine shake hands as long as it likes: only the budget of
// the whole question ends the wait.
func patient(_ *testing.T, w *world) { w.Budgets.Connect = 20 * time.Second }

// blackHole is an address that swallows packets: a listener whose queue is full.
func blackHole(t *testing.T) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := errors.Join(syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), syscall.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	addr := (&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: name.(*syscall.SockaddrInet4).Port}).String()
	for {
		conn, err := net.DialTimeout("tcp", addr, 50*time.Millisecond)
		if err != nil {
			return addr
		}
		t.Cleanup(func() { _ = conn.Close() })
	}
}

func silentAfterTLS(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body) // only then the server notices that the client has gone
	<-r.Context().Done()
}

func aByteAtATime(rw http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	rw.Header().Set("Content-Type", "application/json")
	for r.Context().Err() == nil {
		_, _ = rw.Write([]byte(" "))
		_ = http.NewResponseController(rw).Flush()
		select {
		case <-r.Context().Done():
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func TestAServerThatDoesNotAnswerCostsTheBudget(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		handler http.HandlerFunc
		change  func(*testing.T, *world)
		least   time.Duration // of what was waited, so that the test can fail
	}{
		"I01 a black hole": {nil, func(t *testing.T, w *world) { w.URLs = []string{"https://" + blackHole(t)} }, 100 * time.Millisecond},
		"I02 a closed port": {nil, func(t *testing.T, w *world) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			_ = l.Close()
			w.URLs = []string{"https://" + l.Addr().String()}
		}, 0},
		"I02 a name that nobody has":       {nil, func(_ *testing.T, w *world) { w.URLs = []string{"https://nowhere.invalid"} }, 0},
		"I03 accepts and is silent":        {nil, func(t *testing.T, w *world) { w.URLs = []string{"https://" + mute(t)} }, 100 * time.Millisecond},
		"I03 silent after the handshake":   {silentAfterTLS, patient, 300 * time.Millisecond},
		"I03 one byte at a time":           {aByteAtATime, patient, 300 * time.Millisecond},
		"I15 every server is a black hole": {nil, func(t *testing.T, w *world) { b := "https://" + blackHole(t); w.URLs = []string{b, b, b, b, b, b} }, 300 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, tc.handler, hurried, func(w *world) {
				if tc.change != nil {
					tc.change(t, w)
				}
			})
			began := time.Now()
			turn, err := w.Begin(t.Context(), ana)
			took := time.Since(began)
			if !errors.Is(err, logon.ErrUnreachable) || turn.Prompt != nil || turn.Verdict != nil {
				t.Errorf("%+v, %v", turn, err)
			}
			// The upper bound is far above the budget, for busy machines, and far
			// below what the servers would take.
			if took < tc.least || took > 10*time.Second {
				t.Errorf("took %v, want %v to 10 s", took, tc.least)
			}
			if _, err := w.Begin(t.Context(), ana); !errors.Is(err, logon.ErrUnreachable) {
				t.Errorf("second login: %v", err)
			}
		})
	}
}

// mute accepts connections and says nothing.
func mute(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = conn.Close() })
		}
	}()
	return l.Addr().String()
}

func TestBudgetsAreTheDocumentedOnes(t *testing.T) {
	t.Parallel()
	want := Budgets{Connect: 2 * time.Second, Total: 5 * time.Second, Sync: 30 * time.Second, Down: time.Minute}
	if got := New(Config{}).Budgets; got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func prompting(count *atomic.Int32) http.HandlerFunc {
	return func(rw http.ResponseWriter, _ *http.Request) {
		count.Add(1)
		reply(rw, api.Turn{Prompt: &latchkey.Prompt{ID: 1, Kind: latchkey.AskSecret, Label: "One-time code"}})
	}
}

func TestTheNextServerIsAskedInTheSameBudget(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	w := newWorld(t, prompting(&asked))
	w.URLs = append([]string{"https://" + blackHole(t)}, w.URLs...)
	w.Budgets.Connect = 4 * time.Second // for the black hole, and for a busy machine to shake hands with the other
	w.Client = New(w.Config)
	if turn, err := w.Begin(t.Context(), ana); err != nil || turn.Prompt == nil {
		t.Errorf("I15 %+v, %v", turn, err)
	}
}

func TestAnAddressThatSwallowsPacketsIsOvertaken(t *testing.T) {
	t.Parallel()
	// The dialer's own race between addresses (RFC 8305) is only real where a
	// name has two: its delay must not have been switched off.
	w := newWorld(t, func(http.ResponseWriter, *http.Request) {})
	if d := dialer(w.Config); d.FallbackDelay != 0 || d.Timeout != w.Budgets.Connect {
		t.Errorf("I11 fallback delay %v, timeout %v", d.FallbackDelay, d.Timeout)
	}
}

func TestAFailureIsRemembered(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	var broken atomic.Bool
	var w *world
	w = newWorld(t, func(rw http.ResponseWriter, r *http.Request) {
		if broken.Load() {
			if r.URL.Path == api.BeginPath {
				asked.Add(1)
			}
			rw.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		if r.URL.Path == api.HealthPath {
			var q api.HealthRequest
			_ = json.NewDecoder(r.Body).Decode(&q)
			doc, _ := json.Marshal(api.Health{Nonce: q.Nonce})
			raw, _ := seal.Sign(w.sign, api.HealthType, doc)
			reply(rw, map[string][]byte{"health": raw})
			return
		}
		prompting(&asked)(rw, r)
	})
	alone := true
	w.Alone = func(latchkey.Logon) bool { return alone }
	begin := func(wantAsked int32, wantReached bool, when string) {
		t.Helper()
		asked.Store(0)
		_, err := w.Begin(t.Context(), ana)
		w.probes.Wait()
		if asked.Load() != wantAsked || (err == nil) != wantReached {
			t.Fatalf("%s: asked %d times, %v", when, asked.Load(), err)
		}
	}
	begin(1, true, "a server that is up")
	broken.Store(true)
	begin(1, false, "the first failure")
	begin(0, false, "right after: nobody waits, only the background asks")
	alone = false
	begin(1, false, "somebody who has no way in offline")
	alone = true
	w.now = w.now.Add(61 * time.Second)
	begin(1, false, "after a minute the logon asks again")
	broken.Store(false)
	begin(0, false, "the server is back, and the background notices")
	begin(1, true, "so the next logon is online")
	if got := w.notes.String(); got != "contact" {
		t.Errorf("noted %q", got)
	}
}

func TestSomebodyWhoGoesAwaySaysNothingAboutTheServer(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	w := newWorld(t, prompting(&asked))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.Begin(ctx, ana); !errors.Is(err, logon.ErrCancelled) {
		t.Errorf("%v, want cancelled", err)
	}
	if w.Down() || asked.Load() != 0 {
		t.Errorf("down %v, asked %d times", w.Down(), asked.Load())
	}
}

func TestWhatWasAskedIsFinishedWhenTheFrontEndGoesAway(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	var w *world
	w = newWorld(t, func(rw http.ResponseWriter, r *http.Request) {
		cancel() // the person closes the lid while the server thinks
		reply(rw, api.Turn{Verdict: w.verdict(t, r, api.Verdict{Outcome: latchkey.Denied, Reason: latchkey.AccountDisabled})})
	})
	if _, err := w.Begin(ctx, ana); err != nil {
		t.Fatal(err)
	}
	if got := w.notes.String(); got != "absorb deny" {
		t.Errorf("noted %q: a denial must not be lost by closing the lid", got)
	}
}

func TestAHealthAnswerOfSomebodyElseIsNoHealth(t *testing.T) {
	t.Parallel()
	var w *world
	w = newWorld(t, func(rw http.ResponseWriter, _ *http.Request) {
		doc, _ := json.Marshal(api.Health{Nonce: "of an earlier question"})
		raw, _ := seal.Sign(w.sign, api.HealthType, doc)
		reply(rw, map[string][]byte{"health": raw})
	})
	if err := w.Health(t.Context()); err == nil {
		t.Error("a replayed health answer counts")
	}
	if heard, _ := w.Contact(); !heard.IsZero() {
		t.Error("and is remembered as contact")
	}
}

func TestAnIdleConnectionThatTheServerClosedIsNoFailure(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	w := newWorld(t, prompting(&asked))
	for i := range 5 {
		if _, err := w.Begin(t.Context(), ana); err != nil {
			t.Fatalf("login %d: %v", i, err)
		}
		w.server.CloseClientConnections()
	}
}
