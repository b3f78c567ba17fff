//go:build linux

package agent_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"latchkey"
	"latchkey/internal/agent"
	"latchkey/internal/agent/ipc"
	"latchkey/internal/agent/online"
	"latchkey/internal/api"
	"latchkey/internal/authn"
	"latchkey/internal/ca"
	"latchkey/internal/clock"
	"latchkey/internal/enroll"
	"latchkey/internal/fleet"
	"latchkey/internal/frame"
	"latchkey/internal/httpd"
	"latchkey/internal/otp"
	"latchkey/internal/secret"
	"latchkey/internal/store"
	"latchkey/internal/vault"
)

// A world is a real server and a real agent on this machine: TLS, SQLite,
// sockets and files. Only time is the test's, and the same for both.
type world struct {
	testing.TB
	offset atomic.Int64  // of time, nanoseconds
	booted time.Duration // added to the time since boot
	boot   string        // its name; "" means boot-1
	still  atomic.Pointer[time.Time]

	db     *store.DB
	fleet  *fleet.Fleet
	enroll *enroll.Enroll
	door   httpd.Door
	addr   string
	pin    []byte
	cut    func() // ends the server's listener; nil while it is cut

	state, login, admin string
	settings            string        // path of the settings file
	grace               time.Duration // for logins when the agent ends; 0 means the default
	level               *slog.LevelVar
	agent               *agent.Agent
	log                 syncBuffer
	stop                func()
	running             atomic.Bool
	keys                map[string]secret.Bytes
}

// A syncBuffer is a log that may be read while it is written.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func (w *world) ok(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) now() time.Time {
	at := clock.System().Now()
	if still := w.still.Load(); still != nil {
		at = *still
	}
	return at.Add(time.Duration(w.offset.Load()))
}

// pass lets time go by on both sides, the time since boot included. A sync that
// is on its way meanwhile would bring the time of before the jump; one after it
// puts that right.
func (w *world) pass(d time.Duration) {
	w.offset.Add(int64(d))
	if w.cut != nil && w.running.Load() {
		_, _ = agent.NewAdmin(w.admin).Sync(w.Context()) // not every test wants it to succeed
	}
}

func (w *world) reading() vault.Reading {
	since := time.Since(began)
	if still := w.still.Load(); still != nil {
		since = still.Sub(began)
	}
	return vault.Reading{Wall: w.now(), Boot: w.booted + time.Hour + time.Duration(w.offset.Load()) + since, BootID: cmp.Or(w.boot, "boot-1")}
}

var began = time.Now()

// newWorld starts the server and joins the machine to it.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := newServer(t)
	_, err := agent.Enroll(t.Context(), agent.Join{Token: w.token(), State: w.state, Name: "pc-1", Clock: w.reading})
	w.ok(err)
	return w
}

func newServer(t *testing.T) *world {
	t.Helper()
	w := &world{TB: t, keys: map[string]secret.Bytes{}}
	w.serve(t.TempDir())
	return w
}

// serve runs a server on the data below dir, and makes what is missing.
func (w *world) serve(dir string) {
	w.Helper()
	w.state, w.login, w.admin = filepath.Join(dir, "state"), filepath.Join(dir, "run", "login"), filepath.Join(dir, "run", "admin")
	w.settings = filepath.Join(dir, "agent.json")
	var err error
	w.db, err = store.Open(w.Context(), store.Config{Dir: filepath.Join(dir, "data"), Now: w.now})
	w.ok(err)
	w.Cleanup(func() { w.ok(w.db.Close()) })
	k := w.db.Keys()
	authority, err := ca.New(k.CA, k.Deployment, w.now)
	w.ok(err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	w.ok(err)
	w.addr, w.pin = l.Addr().String(), authority.Pin()
	w.enroll = enroll.New(w.db, w.now, rand.Reader)
	w.fleet = fleet.New(w.db, fleet.Keys{Deployment: k.Deployment, Epoch: k.Epoch, Ring: w.db.Ring},
		fleet.Door{URLs: []string{"https://" + w.addr}, Pin: authority.Pin()}, w.now, rand.Reader)
	logons := authn.New(w.db, authn.Keys{Deployment: k.Deployment, Ring: w.db.Ring, State: k.State}, w.now)
	config, err := authority.AgentServer([]string{"127.0.0.1"})
	w.ok(err)
	w.door = httpd.Door{Name: "agent", TLS: config, Handler: httpd.Agent(httpd.Agents{
		Who: w.db.MachineByKey, Fleet: w.fleet,
		Logons: func(m latchkey.MachineID) httpd.Logons { return logons.ForMachine(m) },
	})}
	w.listen(l)
	w.Cleanup(w.unplug)
}

func (w *world) listen(l net.Listener) {
	door := w.door
	door.Listener = l
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	s := httpd.New(slog.New(slog.DiscardHandler), door)
	go func() { done <- s.Serve(ctx) }()
	w.cut = func() {
		stop()
		<-done
	}
}

// unplug ends the server; plug starts it again at the same address.
func (w *world) unplug() {
	if w.cut != nil {
		w.cut()
		w.cut = nil
	}
	if w.running.Load() {
		_, _ = agent.NewAdmin(w.admin).Sync(w.Context()) // what was under way has ended then
	}
}

func (w *world) plug() {
	w.Helper()
	l, err := net.Listen("tcp", w.addr)
	w.ok(err)
	w.listen(l)
}

func (w *world) token() string {
	w.Helper()
	t, err := w.fleet.CreateToken(w.Context(), "admin", api.CreateToken{})
	w.ok(err)
	return t.Token
}

// start runs the agent until the test ends or stop is called.
func (w *world) start() {
	w.Helper()
	a, err := agent.Open(agent.Config{
		State: w.state, Log: slog.New(slog.NewTextHandler(&w.log, nil)), Clock: w.reading, Passwd: w.passwd(), Settings: w.settings, Level: w.level, Grace: w.grace,
		Budgets: online.Budgets{Connect: 10 * time.Second, Total: 20 * time.Second},
	})
	w.ok(err)
	w.agent = a
	login, err := ipc.Listen(w.login, ipc.LoginMode)
	w.ok(err)
	admin, err := ipc.Listen(w.admin, ipc.AdminMode)
	w.ok(err)
	ctx, stop := context.WithCancel(context.Background())
	done, ready := make(chan error, 1), make(chan struct{})
	go func() { done <- a.Serve(ctx, login, admin, func() { close(ready) }) }()
	<-ready
	w.running.Store(true)
	w.stop = sync.OnceFunc(func() {
		w.running.Store(false)
		stop()
		w.ok(<-done)
		w.ok(a.Close())
	})
	w.Cleanup(w.stop)
}

func (w *world) passwd() string {
	path := filepath.Join(filepath.Dir(w.state), "passwd")
	w.ok(os.WriteFile(path, []byte("root:x:0:0::/root:/bin/sh\nana:x:1001:1001::/home/ana:/bin/sh\n"), 0o644))
	return path
}

// user adds a user with an app.
func (w *world) user(name string) {
	w.Helper()
	_, err := w.db.AddUser(w.Context(), latchkey.User{Name: name, Directory: latchkey.Builtin}, latchkey.Event{Kind: latchkey.UserAdded})
	w.ok(err)
	a, err := w.enroll.AddAuthenticator(w.Context(), "admin", name, api.AddAuthenticator{Kind: latchkey.TOTP})
	w.ok(err)
	w.keys[name], err = otp.ParseBase32(a.Secret)
	w.ok(err)
}

// next is the user's next code: time moves on to its step, so that every call
// gives another one.
func (w *world) next(user string) string {
	w.Helper()
	w.pass(30 * time.Second)
	return w.code(user)
}

func (w *world) code(user string) string {
	w.Helper()
	c, err := otp.Code(w.keys[user], otp.Step(w.now(), 30), otp.SHA1, 6)
	w.ok(err)
	return otp.Format(c, 6)
}

// A typist is a Front that answers from a list and keeps a transcript.
type typist struct {
	answers []string
	before  func() // called at the first question
	said    []string
}

func (f *typist) Ask(_ context.Context, a frame.Ask) ([]byte, error) {
	if f.before != nil {
		f.before()
		f.before = nil
	}
	f.said = append(f.said, a.Label)
	if len(f.answers) == 0 {
		return nil, context.Canceled
	}
	v := f.answers[0]
	f.answers = f.answers[1:]
	return []byte(v), nil
}

func (*typist) Say(frame.Say) {}

// logon is one transaction on the login socket.
func (w *world) logon(f *typist, b frame.Begin) frame.Verdict {
	w.Helper()
	conn, err := ipc.Dial(w.Context(), w.login)
	w.ok(err)
	if b.Op == 0 {
		b.Op = frame.OpAuthenticate
	}
	v, err := ipc.Converse(w.Context(), conn, frame.Hello{MinVersion: 1, MaxVersion: 1, Kind: "cli"}, b, f)
	if err != nil {
		return frame.Verdict{Outcome: frame.Deny, Reason: "no verdict: " + err.Error()}
	}
	return v
}

func (w *world) signIn(user string, answers ...string) string {
	w.Helper()
	v := w.logon(&typist{answers: answers}, frame.Begin{Service: "login", User: user})
	return v.Outcome.String() + " " + v.Reason
}

func (w *world) expect(got, want, when string) {
	w.Helper()
	if got != want {
		w.Fatalf("%s: %s, want %s\n%s", when, got, want, w.log.String())
	}
}

func (w *world) sync() {
	w.Helper()
	_, err := agent.NewAdmin(w.admin).Sync(w.Context())
	w.ok(err)
}

func (w *world) status() agent.Status {
	w.Helper()
	s, err := agent.NewAdmin(w.admin).Status(w.Context())
	w.ok(err)
	return s
}

func (w *world) policy(edit func(*latchkey.Policy)) {
	w.Helper()
	err := w.db.EditPolicies(w.Context(), latchkey.Event{Kind: latchkey.PolicySet}, func(all []latchkey.Policy) ([]latchkey.Policy, error) {
		for i := range all {
			edit(&all[i])
		}
		return all, nil
	})
	w.ok(err)
}

func (w *world) disable(user string) {
	w.Helper()
	u, err := w.db.UserNamed(w.Context(), user)
	w.ok(err)
	w.ok(w.db.SetDisabled(w.Context(), u.ID, true, latchkey.Event{Kind: latchkey.UserDisabled}))
}

func (w *world) machine(edit func(*latchkey.MachineSettings)) {
	w.Helper()
	m, err := w.db.MachineNamed(w.Context(), "pc-1")
	w.ok(err)
	edit(&m.Settings)
	w.ok(w.db.ChangeMachine(w.Context(), m.ID, m.Settings, latchkey.Event{Kind: latchkey.MachineChanged}))
}

func contains(t testing.TB, text, part string) {
	t.Helper()
	if !strings.Contains(text, part) {
		t.Errorf("%q does not say %q", text, part)
	}
}
