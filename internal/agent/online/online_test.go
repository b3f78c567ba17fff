package online

import (
	"compress/gzip"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey"
	"latchkey/internal/api"
	"latchkey/internal/logon"
	"latchkey/internal/seal"
	"latchkey/internal/vault"
)

// An authority is a CA of a test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

var (
	year  = 365 * 24 * time.Hour
	start = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
)

func newCA(t *testing.T) authority {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"},
		NotBefore: start, NotAfter: start.Add(10 * year), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return authority{cert, key}
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// leaf is a server certificate, with the CA behind it in the chain.
func (a authority) leaf(t *testing.T, change func(*x509.Certificate)) tls.Certificate {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "server"},
		NotBefore: start, NotAfter: start.Add(year),
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, KeyUsage: x509.KeyUsageDigitalSignature,
	}
	if change != nil {
		change(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der, a.cert.Raw}, PrivateKey: key}
}

// A world is a server, the client of one machine and what the machine noted.
type world struct {
	*Client
	ca     authority
	server *httptest.Server
	notes  *notes
	now    time.Time // of the memory of failures
	sign   ed25519.PrivateKey
}

// notes is the machine's memory: it verifies what the server signed, as the
// vault does, and keeps a list instead of a ledger.
type notes struct {
	keys seal.KeySet
	mu   sync.Mutex
	log  []string
	fail error
}

func (n *notes) note(s string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.log = append(n.log, s)
	return n.fail
}

func (n *notes) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return strings.Join(n.log, ", ")
}

func (n *notes) Reserve(latchkey.Logon, latchkey.Answer) error { return n.note("reserve") }

func (n *notes) Inquire(time.Duration) (vault.Inquiry, error) {
	return vault.Inquiry{Nonce: rand.Text()}, nil
}

func (n *notes) Absorb(l latchkey.Logon, raw []byte, q vault.Inquiry) (latchkey.Verdict, error) {
	doc, _, err := seal.Verify(raw, api.VerdictType, n.keys)
	if err != nil {
		return latchkey.Verdict{}, err
	}
	var v api.Verdict
	if err := seal.DecodeStrict(doc, &v); err != nil {
		return latchkey.Verdict{}, err
	}
	if v.Nonce != q.Nonce || v.Logon != l.ID {
		return latchkey.Verdict{}, vault.ErrForeign
	}
	return latchkey.Verdict{Outcome: v.Outcome, Reason: v.Reason}, n.note("absorb " + string(v.Outcome))
}

func (n *notes) Contact(raw []byte, q vault.Inquiry) error {
	doc, _, err := seal.Verify(raw, api.HealthType, n.keys)
	if err != nil {
		return err
	}
	var h api.Health
	if err := seal.DecodeStrict(doc, &h); err != nil {
		return err
	}
	if h.Nonce != q.Nonce {
		return vault.ErrForeign
	}
	return n.note("contact")
}

// newWorld starts a server whose answers are the handler's.
func newWorld(t *testing.T, h http.HandlerFunc, change ...func(*world)) *world {
	t.Helper()
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := seal.NewKeySet(pub)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{ca: newCA(t), notes: &notes{keys: keys}, sign: priv, now: start}
	w.server = httptest.NewUnstartedServer(h)
	w.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	w.server.TLS = &tls.Config{
		Certificates: []tls.Certificate{w.ca.leaf(t, nil)}, ClientAuth: tls.RequireAnyClientCert, MinVersion: tls.VersionTLS13,
	}
	identity := w.ca.leaf(t, nil) // any certificate will do: the server pins the key
	w.Client = &Client{Config: Config{
		Pins: []Pin{PinOf(w.ca.cert)}, Identity: &identity, Memory: w.notes,
		Floor: func() time.Time { return start.Add(time.Hour) },
		Alone: func(latchkey.Logon) bool { return true },
		Alarm: func(what string, _ error) { _ = w.notes.note("alarm " + what) },
		Now:   func() time.Time { return w.now },
		// The machine that runs this may be busy: only tests about time have less.
		Budgets: Budgets{Connect: 20 * time.Second, Total: 20 * time.Second},
	}}
	for _, c := range change {
		c(w)
	}
	w.server.StartTLS()
	t.Cleanup(w.server.Close)
	if w.URLs == nil {
		w.URLs = []string{w.server.URL}
	}
	w.Client = New(w.Config)
	t.Cleanup(w.Close)
	return w
}

var ana = latchkey.Logon{ID: "0123456789abcdef0123456789abcdef", Scenario: latchkey.Console, User: "ana"}

// verdict signs v for the question that r carries.
func (w *world) verdict(t *testing.T, r *http.Request, v api.Verdict) []byte {
	t.Helper()
	var q struct {
		Nonce string         `json:"nonce"`
		Logon latchkey.Logon `json:"logon"`
	}
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
		t.Error(err)
	}
	if v.Nonce == "" {
		v.Nonce = q.Nonce
	}
	if v.Logon == "" {
		v.Logon = q.Logon.ID
	}
	doc, err := json.Marshal(v)
	if err != nil {
		t.Error(err)
	}
	raw, err := seal.Sign(w.sign, api.VerdictType, doc)
	if err != nil {
		t.Error(err)
	}
	return raw
}

func reply(rw http.ResponseWriter, v any) {
	rw.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(rw).Encode(v)
}

func allowed() api.Verdict {
	return api.Verdict{Outcome: latchkey.Allowed, Reason: latchkey.VerifiedOnline}
}

func TestALoginOnline(t *testing.T) {
	t.Parallel()
	var w *world
	w = newWorld(t, func(rw http.ResponseWriter, r *http.Request) {
		if len(r.TLS.PeerCertificates) == 0 {
			t.Error("the machine did not say who it is")
		}
		switch r.URL.Path {
		case api.BeginPath:
			reply(rw, api.Turn{Prompt: &latchkey.Prompt{ID: 1, Kind: latchkey.AskSecret, Label: "One-time code", State: []byte("s")}})
		case api.AnswerPath:
			var q api.AnswerRequest
			body, _ := io.ReadAll(r.Body)
			if err := json.Unmarshal(body, &q); err != nil || string(q.Value.Bytes) != "424242" || string(q.State) != "s" {
				t.Errorf("the answer is %q with state %q: %v", string(q.Value.Bytes), q.State, err)
			}
			r.Body = io.NopCloser(strings.NewReader(string(body)))
			reply(rw, api.Turn{Verdict: w.verdict(t, r, allowed())})
		}
	})
	turn, err := w.Begin(t.Context(), ana)
	if err != nil || turn.Prompt == nil || turn.Prompt.Label != "One-time code" {
		t.Fatalf("%+v, %v", turn, err)
	}
	turn, err = w.Answer(t.Context(), ana, latchkey.Answer{Prompt: 1, Value: []byte("424242"), State: turn.Prompt.State})
	if err != nil || turn.Verdict == nil || turn.Verdict.Outcome != latchkey.Allowed {
		t.Fatalf("%+v, %v", turn, err)
	}
	if got := w.notes.String(); got != "reserve, absorb allow" {
		t.Errorf("noted %q: the code must be spent before it is sent, the verdict written before it is shown", got)
	}
}

func TestWhatIsNotTheServersWordIsUnreachable(t *testing.T) {
	t.Parallel()
	status := func(code int, kind, body string) func(*world, *testing.T) http.HandlerFunc {
		return func(*world, *testing.T) http.HandlerFunc {
			return func(rw http.ResponseWriter, _ *http.Request) {
				rw.Header().Set("Content-Type", kind)
				rw.Header().Set("Location", "/agent/v1/elsewhere")
				rw.WriteHeader(code)
				_, _ = io.WriteString(rw, body)
			}
		}
	}
	signed := func(v api.Verdict, change func([]byte) []byte) func(*world, *testing.T) http.HandlerFunc {
		return func(w *world, t *testing.T) http.HandlerFunc {
			return func(rw http.ResponseWriter, r *http.Request) {
				raw := w.verdict(t, r, v)
				if change != nil {
					raw = change(raw)
				}
				reply(rw, api.Turn{Verdict: raw})
			}
		}
	}
	const jsonKind = "application/json"
	good := `{"prompt":{"id":1,"kind":"secret","label":"One-time code","expires":0}}`
	for name, tc := range map[string]struct {
		handler func(*world, *testing.T) http.HandlerFunc
		noted   string
	}{
		"I06 500":                               {status(500, jsonKind, good), ""},
		"I06 502":                               {status(502, jsonKind, good), ""},
		"I06 503":                               {status(503, jsonKind, good), ""},
		"I06 429":                               {status(429, jsonKind, good), ""},
		"I06 302 is not followed":               {status(302, jsonKind, good), ""},
		"I06 307 is not followed":               {status(307, jsonKind, good), ""},
		"I06 a captive portal":                  {status(200, "text/html", "<html>Please accept our terms</html>"), ""},
		"I06 a captive portal that says JSON":   {status(200, jsonKind, "<html>Please accept our terms</html>"), ""},
		"I06 a body of nothing":                 {status(200, jsonKind, ""), ""},
		"I07 an unsigned 401":                   {status(401, jsonKind, `{"status":401,"title":"who are you?"}`), ""},
		"I07 an unsigned 403":                   {status(403, jsonKind, `{"verdict":"e30="}`), ""},
		"I07 an unsigned 404":                   {status(404, jsonKind, good), ""},
		"I07 an unsigned 400":                   {status(400, jsonKind, good), ""},
		"I07 an unsigned 413":                   {status(413, jsonKind, good), ""},
		"I07 a 201 is not a 200":                {status(201, jsonKind, good), ""},
		"I10 100 MB":                            {hundredMegabytes, ""},
		"I10 a gzip bomb is not opened":         {gzipped, ""},
		"I10 deep JSON":                         {status(200, jsonKind, strings.Repeat("[", 200_000)), ""},
		"neither prompt nor verdict":            {status(200, jsonKind, `{}`), ""},
		"prompt and verdict":                    {status(200, jsonKind, `{"prompt":{"id":1,"kind":"secret","label":"x"},"verdict":"e30="}`), ""},
		"a verdict that is not signed":          {status(200, jsonKind, `{"verdict":"eyJvdXRjb21lIjoiYWxsb3cifQ=="}`), "alarm bad_verdict"},
		"B13 a verdict for another nonce":       {signed(api.Verdict{Nonce: "00", Outcome: latchkey.Allowed}, nil), "alarm bad_verdict"},
		"B13 a verdict for another logon":       {signed(api.Verdict{Logon: "00", Outcome: latchkey.Allowed}, nil), "alarm bad_verdict"},
		"a verdict whose signature was altered": {signed(allowed(), flip), "alarm bad_verdict"},
		"a connection that is cut":              {func(*world, *testing.T) http.HandlerFunc { return cut }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var w *world
			w = newWorld(t, func(rw http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/agent/v1/elsewhere" {
					t.Error("a redirect was followed")
				}
				tc.handler(w, t)(rw, r)
			})
			turn, err := w.Begin(t.Context(), ana)
			if !errors.Is(err, logon.ErrUnreachable) || turn.Prompt != nil || turn.Verdict != nil {
				t.Errorf("%+v, %v; want unreachable", turn, err)
			}
			if got := w.notes.String(); got != tc.noted {
				t.Errorf("noted %q, want %q", got, tc.noted)
			}
			// A question that is refused for its form says nothing about the server:
			// otherwise whoever can ask one takes everybody offline.
			if form := strings.HasSuffix(name, "400") || strings.HasSuffix(name, "413"); w.Down() == form {
				t.Errorf("the failure is remembered: %v", w.Down())
			}
		})
	}
}

// flip changes one character inside the signature.
func flip(raw []byte) []byte {
	i := strings.LastIndex(string(raw), `"sig":"`) + len(`"sig":"`)
	raw[i] ^= 'A' ^ 'B'
	return raw
}

func hundredMegabytes(w *world, t *testing.T) http.HandlerFunc {
	return func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "application/json")
		block := []byte(strings.Repeat(" ", 1<<20))
		sent := 0
		for range 100 {
			n, err := rw.Write(block)
			if sent += n; err != nil {
				return
			}
		}
		t.Errorf("all %d bytes were taken", sent)
	}
}

// gzipped sends a good answer in a form that was not asked for: who opened it
// would open a bomb too.
func gzipped(*world, *testing.T) http.HandlerFunc {
	return func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "application/json")
		rw.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(rw)
		_ = json.NewEncoder(z).Encode(api.Turn{Prompt: &latchkey.Prompt{ID: 1, Kind: latchkey.AskSecret, Label: "One-time code"}})
		_ = z.Close()
	}
}

func cut(rw http.ResponseWriter, _ *http.Request) {
	conn, _, err := rw.(http.Hijacker).Hijack()
	if err == nil {
		_ = conn.Close()
	}
}

func TestAVerdictThatCannotBeWrittenDownIsNotShown(t *testing.T) {
	t.Parallel()
	full := errors.New("no space left on device")
	var w *world
	w = newWorld(t, func(rw http.ResponseWriter, r *http.Request) {
		reply(rw, api.Turn{Verdict: w.verdict(t, r, allowed())})
	})
	w.notes.fail = full
	turn, err := w.Begin(t.Context(), ana)
	if !errors.Is(err, full) || errors.Is(err, logon.ErrUnreachable) || turn.Verdict != nil {
		t.Errorf("%+v, %v", turn, err)
	}
	turn, err = w.Answer(t.Context(), ana, latchkey.Answer{Value: []byte("424242")})
	if !errors.Is(err, full) || errors.Is(err, logon.ErrUnreachable) || turn.Verdict != nil {
		t.Errorf("a code that cannot be marked as spent: %+v, %v", turn, err)
	}
}

func TestOnlyThePinnedServerIsAsked(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change  func(*testing.T, *world)
		reached bool
	}{
		"the right certificate": {func(*testing.T, *world) {}, true},
		"by name":               {func(t *testing.T, w *world) { w.URLs = []string{"name"} }, true},
		"I04 another CA": {func(t *testing.T, w *world) {
			w.server.TLS.Certificates = []tls.Certificate{newCA(t).leaf(t, nil)}
		}, false},
		"I04 self-signed":                       {selfSigned, false},
		"I04 another CA, the pinned one behind": {borrowedChain, false},
		"I04 another name": {func(t *testing.T, w *world) {
			w.server.TLS.Certificates = []tls.Certificate{w.ca.leaf(t, func(c *x509.Certificate) {
				c.DNSNames, c.IPAddresses = []string{"elsewhere.example"}, nil
			})}
		}, false},
		"I04 a client's certificate": {func(t *testing.T, w *world) {
			w.server.TLS.Certificates = []tls.Certificate{w.ca.leaf(t, func(c *x509.Certificate) {
				c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
			})}
		}, false},
		"I04 expired by proven time": {func(_ *testing.T, w *world) {
			w.Floor = func() time.Time { return start.Add(2 * year) }
		}, false},
		"a dead clock does not cut the way": {func(_ *testing.T, w *world) {
			w.Floor = func() time.Time { return time.Time{} }
		}, true},
		"a certificate made after the floor": {func(t *testing.T, w *world) {
			w.server.TLS.Certificates = []tls.Certificate{w.ca.leaf(t, func(c *x509.Certificate) {
				c.NotBefore, c.NotAfter = start.Add(2*year), start.Add(3*year)
			})}
		}, true},
		"I14 TLS 1.2": {func(_ *testing.T, w *world) {
			w.server.TLS.MinVersion, w.server.TLS.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
		}, false},
		"no pin at all": {func(_ *testing.T, w *world) { w.Pins = nil }, false},
		"plain HTTP":    {func(_ *testing.T, w *world) { w.URLs = []string{"http"} }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(rw http.ResponseWriter, _ *http.Request) {
				reply(rw, api.Turn{Prompt: &latchkey.Prompt{ID: 1, Kind: latchkey.AskSecret, Label: "One-time code"}})
			}, func(w *world) { tc.change(t, w) })
			port := w.server.Listener.Addr().(*net.TCPAddr).String()
			switch w.URLs[0] {
			case "name":
				w.URLs[0] = "https://" + strings.Replace(port, "127.0.0.1", "localhost", 1)
			case "http":
				w.URLs[0] = "http://" + port
			}
			_, err := w.Begin(t.Context(), ana)
			if reached := err == nil; reached != tc.reached {
				t.Fatalf("%v", err)
			}
			if err != nil && !errors.Is(err, logon.ErrUnreachable) {
				t.Errorf("%v, want unreachable", err)
			}
			alarmed := w.notes.String() == "alarm pin_failure"
			if want := strings.HasPrefix(name, "I04") || name == "no pin at all"; alarmed != want {
				t.Errorf("noted %q", w.notes)
			}
		})
	}
}

func selfSigned(t *testing.T, w *world) {
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(3), Subject: pkix.Name{CommonName: "self"}, NotBefore: start, NotAfter: start.Add(year),
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	w.server.TLS.Certificates = []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}
}

// borrowedChain sends the pinned CA along without being vouched for by it.
func borrowedChain(t *testing.T, w *world) {
	leaf := newCA(t).leaf(t, nil)
	leaf.Certificate[1] = w.ca.cert.Raw
	w.server.TLS.Certificates = []tls.Certificate{leaf}
}
