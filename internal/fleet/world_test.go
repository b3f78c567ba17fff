package fleet_test

import (
	"context"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"latchkey"
	"latchkey/internal/api"
	"latchkey/internal/audit"
	"latchkey/internal/authn"
	"latchkey/internal/bundle"
	"latchkey/internal/enroll"
	"latchkey/internal/fleet"
	"latchkey/internal/logon"
	"latchkey/internal/otp"
	"latchkey/internal/seal"
	"latchkey/internal/secret"
	"latchkey/internal/store"
	"latchkey/internal/store/storetest"
)

var key20 = secret.Bytes("12345678901234567890")

// tester is what testing.T and rapid.T share.
type tester interface {
	Helper()
	Errorf(string, ...any)
	Fatal(...any)
	Fatalf(string, ...any)
}

// A world is a server's core on a real database, with a clock that tests set.
type world struct {
	tester
	ctx    context.Context
	db     *store.DB
	authn  *authn.Authn
	fleet  *fleet.Fleet
	enroll *enroll.Enroll
	clock  *hands
	key    ed25519.PublicKey
}

// hands are those of a clock that tests set.
type hands struct {
	mu sync.Mutex
	at time.Time
}

// housed is what a world asks of a test.
type housed interface {
	tester
	storetest.TB
	TempDir() string
}

func newWorld(t housed) *world {
	w := worldIn(t, filepath.Join(t.TempDir(), "data"), storetest.Database(t))
	t.Cleanup(func() { w.must(w.db.Close()) })
	return w
}

func worldIn(t tester, dir, database string) *world {
	t.Helper()
	w := &world{tester: t, ctx: context.Background(), clock: &hands{at: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)}}
	db, err := store.Open(w.ctx, store.Config{Dir: dir, Database: database, Now: w.now})
	w.must(err)
	w.db = db
	k := db.Keys()
	w.authn = authn.New(db, authn.Keys{Deployment: k.Deployment, Signer: k.Signer, State: k.State}, w.now)
	pin := sha256.Sum256([]byte("ca"))
	w.fleet = fleet.New(db, fleet.Keys{Deployment: k.Deployment, Epoch: k.Epoch, Signer: k.Signer},
		fleet.Door{URLs: []string{"https://127.0.0.1:8444"}, Pin: pin[:]}, w.now, rand.Reader)
	w.enroll = enroll.New(db, w.now, rand.Reader)
	w.key = k.Signer.Public().(ed25519.PublicKey)
	return w
}

func (w *world) now() time.Time {
	w.clock.mu.Lock()
	defer w.clock.mu.Unlock()
	return w.clock.at
}

func (w *world) pass(d time.Duration) {
	w.clock.mu.Lock()
	defer w.clock.mu.Unlock()
	w.clock.at = w.clock.at.Add(d)
}

func (w *world) must(err error) {
	if err != nil {
		w.Helper()
		w.Fatal(err)
	}
}

func (w *world) user(name string, kinds ...latchkey.Kind) latchkey.UserID {
	w.Helper()
	u, err := w.db.AddUser(w.ctx, latchkey.User{Name: name, Directory: latchkey.Builtin}, latchkey.Event{Kind: latchkey.UserAdded})
	w.must(err)
	for _, k := range kinds {
		_, err := w.enroll.AddAuthenticator(w.ctx, "admin", name, api.AddAuthenticator{Kind: k, Secret: otp.Base32(key20)})
		w.must(err)
	}
	return u.ID
}

func (w *world) policy(edit func(*latchkey.Policy)) {
	w.Helper()
	w.must(w.db.EditPolicies(w.ctx, latchkey.Event{Kind: latchkey.PolicySet}, func([]latchkey.Policy) ([]latchkey.Policy, error) {
		p := latchkey.BuiltinPolicy()
		edit(&p)
		return []latchkey.Policy{p}, nil
	}))
}

// code is the TOTP code of key20 some steps from now.
func (w *world) code(steps int) string {
	n, err := otp.Code(key20, otp.Step(w.now(), 30)+uint64(steps), otp.SHA1, 6)
	w.must(err)
	return otp.Format(n, 6)
}

// counter is the HOTP code of key20.
func counter(n uint64) string {
	v, err := otp.Code(key20, n, otp.SHA1, 6)
	if err != nil {
		panic(err)
	}
	return otp.Format(v, 6)
}

// incidents lists what the audit trail holds against machines.
func (w *world) incidents() []string {
	w.Helper()
	events, err := w.db.Events(w.ctx, audit.Query{Limit: 1000, Kind: string(latchkey.Incident)})
	w.must(err)
	var out []string
	for _, e := range events {
		out = append(out, e.Detail["incident"])
	}
	return out
}

// A machine is the far side: it holds keys, fetches bundles and reports.
type machine struct {
	*world
	id         latchkey.MachineID
	sealing    *ecdh.PrivateKey
	chunks     map[string]secret.Bytes
	settings   api.Settings
	proof      []byte
	generation uint64
	seq        uint64
	queue      []api.Report
}

func (w *world) machine(name string) *machine {
	w.Helper()
	m, out, err := w.join(name, w.token(1))
	w.must(err)
	if out.Pending {
		w.Fatalf("%s waits", name)
	}
	return m
}

func (w *world) token(uses int) string {
	w.Helper()
	t, err := w.fleet.CreateToken(w.ctx, "admin", api.CreateToken{Uses: uses})
	w.must(err)
	p, err := api.ParseToken(t.Token)
	w.must(err)
	return p.Secret
}

func (w *world) join(name, token string) (*machine, api.EnrollResponse, error) {
	w.Helper()
	sealing, err := ecdh.P256().GenerateKey(rand.Reader)
	w.must(err)
	m := &machine{world: w, sealing: sealing, chunks: map[string]secret.Bytes{}}
	out, err := m.again(name, token)
	return m, out, err
}

// again joins with the machine's own keys.
func (m *machine) again(name, token string) (api.EnrollResponse, error) {
	identity := sha256.Sum256(m.sealing.PublicKey().Bytes())
	out, err := m.fleet.Join(m.ctx, identity[:], api.EnrollRequest{
		Secret: token, Name: name, OS: "linux", AgentVersion: "1", KeyClass: latchkey.Software, SealingKey: m.sealing.PublicKey().Bytes(),
	})
	m.id = out.Machine
	return out, err
}

// login logs in online and returns how it ended.
func (m *machine) login(user string, answers ...string) string {
	m.Helper()
	return m.loginAs(user, nil, answers...)
}

func (m *machine) loginAs(user string, id *string, answers ...string) string {
	m.Helper()
	name, err := logon.NewID(rand.Reader)
	m.must(err)
	if id != nil {
		*id = name
	}
	l := latchkey.Logon{ID: name, Scenario: latchkey.Console, User: user}
	a := m.authn.ForMachine(m.id)
	turn, err := a.Begin(m.ctx, l)
	for _, typed := range answers {
		if err != nil || turn.Prompt == nil {
			break
		}
		turn, err = a.Answer(m.ctx, l, latchkey.Answer{State: turn.Prompt.State, Value: secret.Bytes(typed)})
	}
	switch {
	case err != nil:
		return err.Error()
	case turn.Prompt != nil:
		return "ask " + string(turn.Prompt.Kind)
	}
	return string(turn.Verdict.Outcome) + " " + string(turn.Verdict.Reason)
}

// report queues an offline event.
func (m *machine) report(r api.Report) {
	m.seq++
	m.generation++
	r.Seq = m.seq
	if r.Logon == "" {
		r.Logon = fmt.Sprintf("offline%d", m.seq)
	}
	if r.At == 0 {
		r.At = m.now().UnixMilli()
	}
	if r.Scenario == "" {
		r.Scenario = latchkey.Console
	}
	if n := len(m.queue); n > 0 {
		r.Prev = m.queue[n-1].Sum()
	}
	m.queue = append(m.queue, r)
}

// offline reports a login that the machine says it let in.
func (m *machine) offline(u latchkey.UserID, c latchkey.AuthenticatorID, used uint64) {
	m.report(api.Report{User: u, Outcome: latchkey.Allowed, Reason: latchkey.VerifiedOffline, Kind: latchkey.TOTP, Credential: c, Used: used})
}

func (m *machine) sync(users ...api.Known) api.SyncResponse {
	m.Helper()
	out, err := m.fleet.Sync(m.ctx, m.id, api.SyncRequest{
		Nonce: "n", OS: "linux", AgentVersion: "1", Generation: m.generation, Proof: m.proof, Users: users, Events: m.queue,
	})
	m.must(err)
	doc := m.verified(out.Settings, api.SettingsType)
	last := m.settings.Version
	m.must(seal.DecodeStrict(doc, &m.settings))
	if m.settings.Version <= last {
		m.Errorf("settings of version %d after %d", m.settings.Version, last)
	}
	m.proof = out.Settings
	m.verified(out.Health, api.HealthType)
	m.verified(out.Keys, api.KeySetType)
	return out
}

func (m *machine) verified(raw []byte, kind string) []byte {
	m.Helper()
	keys, err := seal.NewKeySet(m.key)
	m.must(err)
	doc, _, err := seal.Verify(raw, kind, keys)
	m.must(err)
	return doc
}

// version is what the news say of a user; 0 for nothing.
func version(out api.SyncResponse, u latchkey.UserID) uint64 {
	for _, n := range out.Users {
		if n.User == u {
			return n.Version
		}
	}
	return 0
}

// fetch gets a user's header and chunks, as the machine keeps them.
func (m *machine) fetch(u latchkey.UserID) bundle.Header {
	m.Helper()
	var have []string
	for sum := range m.chunks {
		have = append(have, sum)
	}
	out, err := m.fleet.Bundle(m.ctx, m.id, api.BundleRequest{User: u, Have: have})
	m.must(err)
	keys, err := seal.NewKeySet(m.key)
	m.must(err)
	deployment := m.db.Keys().Deployment
	h, err := bundle.OpenHeader(out.Header, m.sealing, keys, deployment, m.id, u, out.Version)
	m.must(err)
	for _, c := range out.Chunks {
		raw, err := bundle.OpenChunk(c.Sealed, m.sealing, deployment, m.id, u, c.SHA256)
		m.must(err)
		m.chunks[c.SHA256] = raw
	}
	return h
}

func (m *machine) book(c bundle.Credential) *bundle.Book {
	m.Helper()
	b, err := bundle.Open(c, func(sum string) (secret.Bytes, error) {
		raw, ok := m.chunks[sum]
		if !ok {
			return nil, fmt.Errorf("chunk %.8s is missing", sum)
		}
		return raw, nil
	})
	m.must(err)
	return b
}

// logons lists the logons in the audit trail.
func (w *world) logons() []latchkey.Event {
	w.Helper()
	events, err := w.db.Events(w.ctx, audit.Query{Limit: 1000, Kind: string(latchkey.LogonEvent)})
	w.must(err)
	return events
}
