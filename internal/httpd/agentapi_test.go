package httpd_test

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"latchkey"
	"latchkey/internal/api"
	"latchkey/internal/authn"
	"latchkey/internal/ca"
	"latchkey/internal/clock"
	"latchkey/internal/enroll"
	"latchkey/internal/fleet"
	"latchkey/internal/httpd"
	"latchkey/internal/logon"
	"latchkey/internal/otp"
	"latchkey/internal/seal"
	"latchkey/internal/secret"
	"latchkey/internal/store"
	"latchkey/internal/store/storetest"
)

// A deployment is a whole server for machines: real TLS, real database.
type deployment struct {
	testing.TB
	db    *store.DB
	url   string
	pool  *x509.CertPool
	fleet *fleet.Fleet
	users *enroll.Enroll
	log   *safeBuffer
}

func deploy(t testing.TB) *deployment {
	t.Helper()
	now := clock.System().Now
	db, err := store.Open(t.Context(), store.Config{Dir: filepath.Join(t.TempDir(), "data"), Database: storetest.Database(t), Now: now})
	ok(t, err)
	t.Cleanup(func() { ok(t, db.Close()) })
	k := db.Keys()
	authority, err := ca.New(k.CA, k.Deployment, now)
	ok(t, err)
	d := &deployment{TB: t, db: db, pool: authority.Pool(), users: enroll.New(db, now, rand.Reader), log: &safeBuffer{}}
	d.fleet = fleet.New(db, fleet.Keys{Deployment: k.Deployment, Epoch: k.Epoch, Signer: k.Signer},
		fleet.Door{URLs: []string{"https://127.0.0.1"}, Pin: authority.Pin()}, now, rand.Reader)
	logons := authn.New(db, authn.Keys{Deployment: k.Deployment, Signer: k.Signer, State: k.State}, now)
	handler := httpd.Agent(httpd.Agents{
		Who: db.MachineByKey, Fleet: d.fleet,
		Logons: func(m latchkey.MachineID) httpd.Logons { return logons.ForMachine(m) },
	})
	config, err := authority.AgentServer([]string{"127.0.0.1"})
	ok(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ok(t, err)
	d.url = "https://" + l.Addr().String()
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- httpd.New(slog.New(slog.NewJSONHandler(d.log, nil)), httpd.Door{Name: "agent", Listener: l, TLS: config, Handler: handler}).Serve(ctx)
	}()
	t.Cleanup(func() { stop(); ok(t, <-done) })
	return d
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// machine is an HTTP client with a key of its own.
func (d *deployment) machine() *http.Client {
	d.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ok(d, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	ok(d, err)
	return &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
		MaxIdleConnsPerHost: 64,
		TLSClientConfig: &tls.Config{
			RootCAs: d.pool, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		},
	}}
}

func (d *deployment) post(c *http.Client, path string, in, out any) int {
	d.Helper()
	body, ready := in.([]byte)
	if !ready {
		var err error
		body, err = json.Marshal(in)
		ok(d, err)
	}
	res, err := c.Post(d.url+path, "application/json", bytes.NewReader(body))
	ok(d, err)
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	ok(d, err)
	if res.StatusCode == http.StatusOK {
		ok(d, seal.DecodeStrict(raw, out))
	} else if p, good := out.(*api.Problem); good {
		ok(d, seal.DecodeStrict(raw, p))
	}
	return res.StatusCode
}

func (d *deployment) enroll(c *http.Client, name string) api.EnrollResponse {
	d.Helper()
	token, err := d.fleet.CreateToken(d.Context(), "admin", api.CreateToken{})
	ok(d, err)
	parsed, err := api.ParseToken(token.Token)
	ok(d, err)
	sealing, err := ecdh.P256().GenerateKey(rand.Reader)
	ok(d, err)
	var out api.EnrollResponse
	in := api.EnrollRequest{Secret: parsed.Secret, Name: name, OS: "linux", AgentVersion: "1", KeyClass: latchkey.Software, SealingKey: sealing.PublicKey().Bytes()}
	if status := d.post(c, api.EnrollPath, in, &out); status != http.StatusOK {
		d.Fatalf("enrolling: %d", status)
	}
	return out
}

func (d *deployment) user(name string) secret.Bytes {
	d.Helper()
	_, err := d.db.AddUser(d.Context(), latchkey.User{Name: name, Directory: latchkey.Builtin}, latchkey.Event{Kind: latchkey.UserAdded})
	ok(d, err)
	a, err := d.users.AddAuthenticator(d.Context(), "admin", name, api.AddAuthenticator{Kind: latchkey.TOTP})
	ok(d, err)
	key, err := otp.ParseBase32(a.Secret)
	ok(d, err)
	return key
}

func newLogon(t testing.TB, user string) latchkey.Logon {
	t.Helper()
	id, err := logon.NewID(rand.Reader)
	ok(t, err)
	return latchkey.Logon{ID: id, Scenario: latchkey.Console, Service: "login", User: user}
}

func (d *deployment) verdict(t api.Turn) api.Verdict {
	d.Helper()
	keys, err := seal.NewKeySet(d.db.Keys().Signer.Public().(ed25519.PublicKey))
	ok(d, err)
	doc, _, err := seal.Verify(t.Verdict, api.VerdictType, keys)
	ok(d, err)
	var v api.Verdict
	ok(d, seal.DecodeStrict(doc, &v))
	return v
}

func TestAMachineEnrollsLogsInAndSyncs(t *testing.T) {
	t.Parallel()
	d := deploy(t)
	key := d.user("ana")
	c := d.machine()
	l := newLogon(t, "ana")
	begin := api.BeginRequest{Nonce: "n1", Logon: l}
	if status := d.post(c, api.BeginPath, begin, nil); status != http.StatusUnauthorized {
		t.Errorf("an unknown machine got %d", status)
	}
	joined := d.enroll(c, "pc-1")
	var turn api.Turn
	if status := d.post(c, api.BeginPath, begin, &turn); status != http.StatusOK || turn.Prompt == nil {
		t.Fatalf("begin: %d %+v", status, turn)
	}
	code, err := otp.Code(key, otp.Step(time.Now(), 30), otp.SHA1, 6)
	ok(t, err)
	answer := api.AnswerRequest{Nonce: "n2", Logon: l, State: turn.Prompt.State, Value: api.Secret(secret.Bytes(otp.Format(code, 6)))}
	turn = api.Turn{}
	if status := d.post(c, api.AnswerPath, answer, &turn); status != http.StatusOK {
		t.Fatalf("answer: %d", status)
	}
	v := d.verdict(turn)
	if v.Outcome != latchkey.Allowed || v.Nonce != "n2" || v.Machine != joined.Machine || v.Logon != l.ID {
		t.Errorf("verdict %+v", v)
	}
	other := d.machine()
	d.enroll(other, "pc-2")
	if status := d.post(other, api.AnswerPath, answer, nil); status != http.StatusBadRequest {
		t.Errorf("another machine's state got %d", status)
	}
	var news api.SyncResponse
	if status := d.post(c, api.SyncPath, api.SyncRequest{Nonce: "n3", OS: "linux", AgentVersion: "1"}, &news); status != http.StatusOK || len(news.Users) != 1 {
		t.Fatalf("sync: %d %+v", status, news.Users)
	}
	var b api.BundleResponse
	if status := d.post(c, api.BundlePath, api.BundleRequest{User: news.Users[0].User}, &b); status != http.StatusOK || len(b.Chunks) != 8 {
		t.Errorf("bundle: %d, %d chunks", status, len(b.Chunks))
	}
	if status := d.post(other, api.BundlePath, api.BundleRequest{User: news.Users[0].User}, nil); status != http.StatusNotFound {
		t.Errorf("another machine's bundle: %d", status)
	}
	var h struct {
		Health []byte `json:"health"`
	}
	if status := d.post(c, api.HealthPath, api.HealthRequest{Nonce: "n4"}, &h); status != http.StatusOK || len(h.Health) == 0 {
		t.Errorf("health: %d", status)
	}
}

// The line is written before the answer is sent, so that there is nothing to
// wait for.
func TestALoginIsOneLineOfTheLog(t *testing.T) {
	t.Parallel()
	d := deploy(t)
	d.user("ana")
	c := d.machine()
	l := newLogon(t, "ana")
	lines := func() int { return strings.Count(d.log.String(), l.ID) }
	d.post(c, api.BeginPath, api.BeginRequest{Nonce: "n1", Logon: l}, nil)
	if !strings.Contains(d.log.String(), `"status":401`) {
		t.Errorf("the log lacks a question that was refused:\n%s", d.log)
	}
	joined := d.enroll(c, "pc-1")
	var turn api.Turn
	if status := d.post(c, api.BeginPath, api.BeginRequest{Nonce: "n1", Logon: l}, &turn); status != http.StatusOK || lines() != 0 {
		t.Errorf("begin: %d, %d lines:\n%s", status, lines(), d.log)
	}
	answer := api.AnswerRequest{Nonce: "n2", Logon: l, State: turn.Prompt.State, Value: api.Secret(secret.Bytes("000000"))}
	if status := d.post(c, api.AnswerPath, answer, &turn); status != http.StatusOK || lines() != 1 {
		t.Errorf("answer: %d, %d lines:\n%s", status, lines(), d.log)
	}
	if !strings.Contains(d.log.String(), `"machine":"`+string(joined.Machine)+`"`) {
		t.Errorf("the log lacks the machine:\n%s", d.log)
	}
	answer.State = []byte("no state")
	if status := d.post(c, api.AnswerPath, answer, nil); status != http.StatusBadRequest || lines() != 2 {
		t.Errorf("an answer to nothing: %d, %d lines", status, lines())
	}
}

func TestWhatAMachineMayNotSend(t *testing.T) {
	t.Parallel()
	d := deploy(t)
	c := d.machine()
	d.enroll(c, "pc-1")
	const marker = "swordfish"
	good := `{"nonce":"n","logon":{"id":"00112233445566778899aabbccddeeff","scenario":"console","user":"` + marker + `","local":false,"caller":0}}`
	if status := d.post(c, api.BeginPath, []byte(good), new(api.Turn)); status != http.StatusOK {
		t.Fatalf("the good one got %d", status)
	}
	for name, tc := range map[string]struct {
		body string
		want int
	}{
		"nothing":               {``, 400},
		"an unknown key":        {strings.Replace(good, `"nonce"`, `"x":1,"nonce"`, 1), 400},
		"a key twice":           {strings.Replace(good, `"nonce"`, `"nonce":"m","nonce"`, 1), 400},
		"a key in another case": {strings.Replace(good, `"nonce"`, `"Nonce"`, 1), 400},
		"two documents":         {good + good, 400},
		"no nonce":              {strings.Replace(good, `"n"`, `""`, 1), 400},
		"an endless nonce":      {strings.Replace(good, `"n"`, `"`+strings.Repeat("n", 129)+`"`, 1), 400},
		"an id of another form": {strings.Replace(good, "00112233", "00112Z33", 1), 400},
		"a long user":           {strings.Replace(good, marker, strings.Repeat(marker, 99), 1), 400},
		"a NUL":                 {strings.Replace(good, marker, `a\u0000b`, 1), 400},
		"no user":               {strings.Replace(good, marker, "", 1), 400},
		"another scenario":      {strings.Replace(good, "console", "kitchen", 1), 400},
		"too much":              {good + strings.Repeat(" ", api.MaxBody), 413},
	} {
		var p api.Problem
		if status := d.post(c, api.BeginPath, []byte(tc.body), &p); status != tc.want || p.Status != tc.want {
			t.Errorf("%s: got %d %+v", name, status, p)
		}
		if text := p.Title + p.Detail + p.Hint; strings.Contains(text, marker) {
			t.Errorf("%s: the answer repeats what was sent: %q", name, text)
		}
	}
	backslash := strings.Replace(good, marker, `a\\u0000b`, 1) // which is none
	if status := d.post(c, api.BeginPath, []byte(backslash), new(api.Turn)); status != http.StatusOK {
		t.Errorf("a backslash: %d", status)
	}
	res, err := c.Post(d.url+api.BeginPath, "text/plain", strings.NewReader(good))
	ok(t, err)
	defer res.Body.Close()
	if res.StatusCode != http.StatusUnsupportedMediaType {
		t.Errorf("text: %d", res.StatusCode)
	}
	c.CheckRedirect = func(*http.Request, []*http.Request) error { t.Error("redirected"); return nil }
	for _, path := range []string{"//agent/v1/sync", api.SyncPath + "/", "/agent/v1/../v1/sync", "/"} {
		if status := d.post(c, path, []byte(`{}`), nil); status != http.StatusNotFound {
			t.Errorf("%s: %d", path, status)
		}
	}
}

// BenchmarkAgentLogin is a whole online login as machines make it: two requests
// over TLS to the real server, 32 at once.
func BenchmarkAgentLogin(b *testing.B) {
	const users, callers = 1000, 32
	d := deploy(b)
	keys := make([]secret.Bytes, users)
	for i := range keys {
		keys[i] = d.user("user" + strconv.Itoa(i))
	}
	clients := make([]*http.Client, 8)
	for i := range clients {
		clients[i] = d.machine()
		d.enroll(clients[i], "pc-"+strconv.Itoa(i))
	}
	var next, let atomic.Int64
	start := otp.Step(time.Now(), 30)
	b.ResetTimer()
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= b.N {
					return
				}
				// Three codes a user are right now, the later ones after the earlier.
				step := start - 1 + uint64(i/users%3)
				code, err := otp.Code(keys[i%users], step, otp.SHA1, 6)
				ok(b, err)
				c, l := clients[i%len(clients)], newLogon(b, "user"+strconv.Itoa(i%users))
				var turn api.Turn
				d.post(c, api.BeginPath, api.BeginRequest{Nonce: "n", Logon: l}, &turn)
				if turn.Prompt == nil {
					continue
				}
				answer := api.AnswerRequest{Nonce: "n", Logon: l, State: turn.Prompt.State, Value: api.Secret(secret.Bytes(otp.Format(code, 6)))}
				turn = api.Turn{}
				if d.post(c, api.AnswerPath, answer, &turn) == http.StatusOK && d.verdict(turn).Outcome == latchkey.Allowed {
					let.Add(1)
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "logins/s")
	b.ReportMetric(float64(let.Load())/float64(b.N), "let-in/login")
}
