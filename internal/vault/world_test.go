package vault_test

import (
	"context"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"latchkey"
	"latchkey/internal/agent/boxfile"
	"latchkey/internal/api"
	"latchkey/internal/bundle"
	"latchkey/internal/logon"
	"latchkey/internal/otp"
	"latchkey/internal/seal"
	"latchkey/internal/secret"
	"latchkey/internal/vault"
	"latchkey/internal/verify"
)

const (
	deployment = "d1"
	machine    = latchkey.MachineID("m1")
	ana        = latchkey.UserID("u-ana")
	totpID     = latchkey.AuthenticatorID("a-totp")
	hotpID     = latchkey.AuthenticatorID("a-hotp")
)

var (
	start = time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)
	key20 = secret.Bytes("12345678901234567890") // of RFC 4226 appendix D
)

// A world is a machine with its vault in real files, and a server that signs.
type world struct {
	t       testing.TB
	dir     string
	box     *boxfile.Box
	v       *vault.Vault
	config  vault.Config
	signer  ed25519.PrivateKey
	sealing *ecdh.PrivateKey
	version uint64

	wall time.Time
	boot time.Duration
	id   string        // boot id
	rush time.Duration // passes after each look at the clocks
	n    int           // logons so far
}

func newWorld(t testing.TB) *world {
	t.Helper()
	_, signer, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	sealing, err := ecdh.P256().GenerateKey(rand.Reader)
	must(t, err)
	w := &world{
		t: t, dir: filepath.Join(t.TempDir(), "state"), signer: signer, sealing: sealing,
		wall: start, boot: time.Hour, id: "boot-1", version: 100,
	}
	w.box, err = boxfile.Create(w.dir, boxfile.Identity{Deployment: deployment, Machine: machine, Name: "pc-17"})
	must(t, err)
	w.config = vault.Config{
		Deployment: deployment, Machine: machine, Class: latchkey.Software, Agent: "1.0.0",
		Sealing: sealing, Rand: rand.Reader, Box: w.box,
		Clock: func() vault.Reading {
			defer w.pass(w.rush)
			return vault.Reading{Wall: w.wall, Boot: w.boot, BootID: w.id}
		},
	}
	w.v, err = vault.Create(w.config, w.keySet(1), w.settings(func(*api.Settings) {}))
	must(t, err)
	t.Cleanup(func() {
		if w.v != nil && w.box != nil {
			w.v.Close()
			w.box.Close()
		}
	})
	return w
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// pass lets time go by on both clocks.
func (w *world) pass(d time.Duration) { w.wall, w.boot = w.wall.Add(d), w.boot+d }

// reboot starts the machine again after it was off for d.
func (w *world) reboot(d time.Duration) {
	w.n++
	w.wall, w.boot, w.id = w.wall.Add(d), 10*time.Second, fmt.Sprintf("boot-%d", w.n+1)
	w.restart()
}

// restart ends the agent without a goodbye and starts it again.
func (w *world) restart() {
	w.t.Helper()
	w.v.Close()
	must(w.t, w.box.Close())
	w.reopen()
}

func (w *world) reopen() {
	w.t.Helper()
	var err error
	w.box, _, err = boxfile.Open(w.dir)
	must(w.t, err)
	w.config.Box = w.box
	w.v, err = vault.Open(w.config)
	must(w.t, err)
}

func (w *world) sign(kind string, doc any) []byte {
	w.t.Helper()
	raw, err := json.Marshal(doc)
	must(w.t, err)
	signed, err := seal.Sign(w.signer, kind, raw)
	must(w.t, err)
	return signed
}

func (w *world) keySet(version uint64) []byte {
	pub := w.signer.Public().(ed25519.PublicKey)
	return w.sign(api.KeySetType, api.KeySet{Deployment: deployment, Version: version, Keys: []string{base64.StdEncoding.EncodeToString(pub)}})
}

func (w *world) settings(change func(*api.Settings)) []byte {
	w.version++
	s := api.Settings{
		Deployment: deployment, Machine: machine, Version: w.version, IssuedAt: w.wall.UnixMilli(),
		NotAfter: w.wall.Add(30 * 24 * time.Hour).UnixMilli(), Settings: latchkey.DefaultSettings(),
	}
	change(&s)
	return w.sign(api.SettingsType, s)
}

// A user is what the server knows of a person.
type user struct {
	header  bundle.Header
	sources []bundle.Source
	policy  latchkey.Policy
}

// person is a user with an app and a token, who was here online just now.
func (w *world) person() *user {
	w.t.Helper()
	p := latchkey.BuiltinPolicy()
	logins := 3
	p.Offline.Logins = &logins
	p.Factors.Offline = []latchkey.Kind{latchkey.TOTP, latchkey.HOTP}
	return &user{
		policy: p,
		header: bundle.Header{
			Deployment: deployment, Machine: machine, User: ana, Name: "Ana", Directory: latchkey.Builtin,
			Status: bundle.Active, Anchor: w.wall.UnixMilli(),
		},
		sources: []bundle.Source{totpSource(w.t)},
	}
}

func totpSource(t testing.TB) bundle.Source {
	g, err := otp.NewGenerator(key20, otp.SHA1, 6)
	must(t, err)
	return bundle.Source{ID: totpID, Kind: latchkey.TOTP, Label: "phone", Digits: 6, Period: 30, Window: 1, Codes: g}
}

func hotpSource(t testing.TB) bundle.Source {
	g, err := otp.NewGenerator(key20, otp.SHA1, 6)
	must(t, err)
	return bundle.Source{ID: hotpID, Kind: latchkey.HOTP, Label: "token", Digits: 6, Window: 35, Quota: 30, Used: verify.ReplayWindow, Codes: g}
}

// issue makes the answer that the server would send for a user.
func (w *world) issue(u *user) api.BundleResponse {
	w.t.Helper()
	w.version++
	h := u.header
	h.Version, h.IssuedAt, h.NotAfter = w.version, w.wall.UnixMilli(), w.wall.Add(30*24*time.Hour).UnixMilli()
	h.Policy = &u.policy
	h, raws := bundle.Pack(h, u.policy.Limit(latchkey.Software), u.sources)
	return w.sealed(h, raws)
}

func (w *world) sealed(h bundle.Header, raws []bundle.Raw) api.BundleResponse {
	w.t.Helper()
	out := api.BundleResponse{User: h.User, Version: h.Version}
	var err error
	out.Header, err = bundle.SealHeader(h, w.signer, w.sealing.PublicKey())
	must(w.t, err)
	for _, r := range raws {
		c, err := bundle.SealChunk(h, r, w.sealing.PublicKey())
		must(w.t, err)
		out.Chunks = append(out.Chunks, api.SealedChunk{SHA256: r.SHA256, Sealed: c})
	}
	return out
}

func (w *world) store(u *user) {
	w.t.Helper()
	must(w.t, w.v.Store(w.issue(u)))
}

// contact lets the server say what time it is.
func (w *world) contact(at time.Time) {
	w.t.Helper()
	q := w.inquire()
	must(w.t, w.v.Contact(w.health(q.Nonce, at), q))
}

// budget is how long an exchange with the server may take here.
const budget = 30 * time.Second

// inquire begins a question to the server.
func (w *world) inquire() vault.Inquiry {
	w.t.Helper()
	q, err := w.v.Inquire(budget)
	must(w.t, err)
	return q
}

func (w *world) health(nonce string, at time.Time) []byte {
	return w.sign(api.HealthType, api.Health{Deployment: deployment, Nonce: nonce, At: at.UnixMilli()})
}

// logon is a login at the console through root's programs.
func (w *world) logon(s latchkey.Scenario) latchkey.Logon {
	w.n++
	return latchkey.Logon{ID: fmt.Sprintf("%032x", w.n), Scenario: s, Service: "test", User: "ana"}
}

// begin opens a logon and returns the prompt or the verdict.
func (w *world) begin(l latchkey.Logon) logon.Turn {
	w.t.Helper()
	t, err := w.v.Begin(context.Background(), l)
	must(w.t, err)
	return t
}

func (w *world) answer(l latchkey.Logon, p *latchkey.Prompt, text string) logon.Turn {
	w.t.Helper()
	if p == nil {
		w.t.Fatal("no prompt to answer")
	}
	t, err := w.v.Answer(context.Background(), l, latchkey.Answer{Prompt: p.ID, Value: secret.Bytes(text), State: p.State})
	must(w.t, err)
	return t
}

// login runs one logon with the given answers and returns "outcome reason", or
// the prompt that is left.
func (w *world) login(s latchkey.Scenario, answers ...string) string {
	w.t.Helper()
	return w.run(w.logon(s), answers...)
}

func (w *world) run(l latchkey.Logon, answers ...string) string {
	w.t.Helper()
	turn := w.begin(l)
	for _, a := range answers {
		if turn.Verdict != nil {
			break
		}
		turn = w.answer(l, turn.Prompt, a)
	}
	return said(turn)
}

func said(t logon.Turn) string {
	if t.Verdict != nil {
		return string(t.Verdict.Outcome) + " " + string(t.Verdict.Reason)
	}
	return "ask " + string(t.Prompt.Kind) + " " + t.Prompt.Label
}

// totp is the code that the phone shows at t; hotp the token's n-th.
func (w *world) totp(t time.Time) string { return codeOf(w.t, otp.Step(t, 30)) }
func (w *world) hotp(n uint64) string    { return codeOf(w.t, n) }

func codeOf(t testing.TB, n uint64) string {
	c, err := otp.Code(key20, n, otp.SHA1, 6)
	must(t, err)
	return otp.Format(c, 6)
}

// wrong is no code of the token or the phone near now.
func (w *world) wrong() string {
	for n := 0; ; n++ {
		s := fmt.Sprintf("%06d", n)
		if !w.near(s) {
			return s
		}
	}
}

func (w *world) near(code string) bool {
	at := otp.Step(w.wall, 30)
	for i := range uint64(60) {
		if code == codeOf(w.t, i) || code == codeOf(w.t, at-30+i) {
			return true
		}
	}
	return false
}

// verdict is the server's signed word on a logon.
func (w *world) verdict(l latchkey.Logon, q vault.Inquiry, change func(*api.Verdict)) []byte {
	v := api.Verdict{
		Deployment: deployment, Machine: machine, Logon: l.ID, Nonce: q.Nonce, At: w.wall.UnixMilli(), User: ana,
		Version: w.version, Outcome: latchkey.Allowed, Reason: latchkey.VerifiedOnline, Event: "e1",
	}
	change(&v)
	return w.sign(api.VerdictType, v)
}

func (w *world) absorb(l latchkey.Logon, change func(*api.Verdict)) string {
	w.t.Helper()
	q := w.inquire()
	v, err := w.v.Absorb(l, w.verdict(l, q, change), q)
	must(w.t, err)
	return said(logon.End(v))
}

// online is a login at the console that the server allowed.
func (w *world) online() {
	w.t.Helper()
	w.absorb(w.logon(latchkey.Console), func(v *api.Verdict) { v.Anchor = w.wall.UnixMilli() })
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

func (w *world) file(name string) []byte {
	w.t.Helper()
	b, err := os.ReadFile(w.path(name))
	must(w.t, err)
	return b
}

func (w *world) put(name string, data []byte) {
	w.t.Helper()
	must(w.t, os.WriteFile(w.path(name), data, 0o600))
}

func (w *world) status() string {
	s := w.v.Status()
	for _, u := range s.Users {
		if u.Left != nil {
			return u.User + " " + strconv.Itoa(u.Left.Logins) + " until " + u.Left.Until.UTC().Format(time.DateTime)
		}
	}
	return fmt.Sprintf("%d users", len(s.Users))
}

func expect(t testing.TB, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
