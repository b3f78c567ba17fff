//go:build linux

package faults_test

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"latchkey/test/lab"
)

const falsePort = 9444

// falseURL is where a false server listens.
var falseURL = fmt.Sprintf("https://%s:%d", lab.ServerName, falsePort)

// pointAt edits a machine's identity as only its root could: other addresses,
// and one more CA that it believes.
func pointAt(t *testing.T, m *lab.Machine, pins []string, urls ...string) {
	t.Helper()
	path := filepath.Join(m.State, "identity.json")
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var id map[string]any
	if err := json.Unmarshal(raw, &id); err != nil {
		t.Fatal(err)
	}
	if _, ok := id["urls"]; !ok {
		t.Fatalf("identity.json has no urls: %s", raw)
	}
	known, _ := id["pins"].([]any)
	for _, p := range pins {
		known = append(known, p)
	}
	id["urls"], id["pins"] = urls, known
	if raw, err = json.Marshal(id); err != nil {
		t.Fatal(err)
	}
	m.Stop()
	if err := os.WriteFile(path, raw, 0o600); err != nil { // keeps its owner
		t.Fatal(err)
	}
	m.RunAgent()
}

// An authority signs what a test wants signed.
type authority struct {
	t    *testing.T
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{t: t, key: key}
	a.cert = a.sign(&x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "some CA"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-400 * day), NotAfter: time.Now().Add(400 * day),
	}, nil, &key.PublicKey)
	return a
}

func (a *authority) sign(template, parent *x509.Certificate, public any) *x509.Certificate {
	a.t.Helper()
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert
}

// pin is how machines know the authority.
func (a *authority) pin() string {
	sum := sha256.Sum256(a.cert.RawSubjectPublicKeyInfo)
	return hex.EncodeToString(sum[:])
}

// leaf is a server's certificate for a name, good from and to so far from now.
func (a *authority) leaf(name string, from, to time.Duration) *tls.Certificate {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	cert := a.sign(&x509.Certificate{
		SerialNumber: big.NewInt(2), DNSNames: []string{name}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		NotBefore: time.Now().Add(from), NotAfter: time.Now().Add(to),
	}, a.cert, &key.PublicKey)
	return &tls.Certificate{Certificate: [][]byte{cert.Raw, a.cert.Raw}, PrivateKey: key}
}

// A falseServer answers in the server's place, as a test tells it to.
type falseServer struct {
	cert   atomic.Pointer[tls.Certificate]
	answer atomic.Pointer[http.HandlerFunc]
	begun  atomic.Int32 // questions that began a logon
	conns  atomic.Int32
}

func serveFalsely(t *testing.T, l net.Listener) *falseServer {
	t.Helper()
	f := &falseServer{}
	s := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/logon/begin") {
				f.begun.Add(1)
			}
			(*f.answer.Load())(w, r)
		}),
		ErrorLog: log.New(io.Discard, "", 0),
		TLSConfig: &tls.Config{ClientAuth: tls.RequestClientCert, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			f.conns.Add(1)
			return f.cert.Load(), nil
		}},
	}
	go s.ServeTLS(l, "", "")
	t.Cleanup(func() { s.Close() })
	return f
}

func says(status int, kind, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		if status/100 == 3 {
			w.Header().Set("Location", body)
		}
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

const (
	asJSON = "application/json"
	asHTML = "text/html"
)

func TestI03I04I06I07I10WhateverAFalseServerSaysTheMachineDecidesAndAsks(t *testing.T) {
	t.Parallel()
	w := newAna(t)
	w.ready(w.laptop, "ana")
	ca, other := newAuthority(t), newAuthority(t)
	f := serveFalsely(t, w.Listen(falsePort))
	pointAt(t, w.laptop, []string{ca.pin()}, falseURL)

	good := ca.leaf(lab.ServerName, -day, 30*day)
	const page = "<html><title>Welcome to Hotel Wi-Fi</title></html>"
	problem := func(status int, code string) http.HandlerFunc {
		return says(status, "application/problem+json", fmt.Sprintf(`{"status":%d,"code":%q,"title":%[2]q}`, status, code))
	}
	for _, tc := range []struct {
		name   string
		cert   *tls.Certificate
		answer http.HandlerFunc
		alarm  string
	}{
		{"I04 a certificate of another CA", other.leaf(lab.ServerName, -day, day), says(200, asJSON, `{}`), "pin_failure"},
		{"I04 a certificate that has expired", ca.leaf(lab.ServerName, -20*day, -10*day), says(200, asJSON, `{}`), "pin_failure"},
		{"I04 a certificate for another name", ca.leaf("other.test", -day, day), says(200, asJSON, `{}`), "pin_failure"},
		{"I06 a captive portal behind a certificate of its own", other.leaf("portal.test", -day, day), says(200, asHTML, page), "pin_failure"},
		{"I06 a page instead of an answer", good, says(200, asHTML, page), ""},
		{"I06 302", good, says(302, asHTML, "https://"+lab.ServerName+":8444/agent/v1/logon/begin"), ""},
		{"I06 500", good, problem(500, "internal"), ""},
		{"I06 502", good, says(502, asHTML, page), ""},
		{"I06 503", good, problem(503, "busy"), ""},
		{"I06 429", good, problem(429, "busy"), ""},
		{"I07 401", good, problem(401, "unauthenticated"), ""},
		{"I07 403", good, problem(403, "account_disabled"), ""},
		{"I07 404", good, problem(404, "machine_removed"), ""},
		{"an empty object", good, says(200, asJSON, `{}`), ""},
		{"a verdict that nobody signed", good, says(200, asJSON, `{"verdict":"eyJvdXRjb21lIjoiYWxsb3cifQ=="}`), "bad_verdict"},
		{"I10 JSON without a bottom", good, says(200, asJSON, `{"prompt":`+strings.Repeat("[", 500_000)), ""},
		{"I10 100 MB", good, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", asJSON)
			block := []byte(strings.Repeat(" ", 1<<20))
			for range 100 {
				if _, err := w.Write(block); err != nil {
					return
				}
			}
		}, ""},
		{"I03 one byte per second", good, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", asJSON)
			for {
				if _, err := w.Write([]byte(" ")); err != nil {
					return
				}
				w.(http.Flusher).Flush()
				select {
				case <-r.Context().Done():
					return
				case <-time.After(time.Second):
				}
			}
		}, ""},
		{"I03 silence after the question", good, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, ""},
	} {
		f.cert.Store(tc.cert)
		f.answer.Store(&tc.answer)
		w.laptop.Kill() // forgets that the server was down
		w.laptop.RunAgent()
		f.begun.Store(0)

		start := time.Now()
		w.want(w.in(w.laptop, "ana"), offline, tc.name)
		if took := time.Since(start); took > 9*time.Second {
			t.Errorf("%s: the login took %v", tc.name, took)
		}
		if n := f.begun.Load(); n > 1 || n == 0 && tc.alarm != "pin_failure" {
			t.Errorf("%s: the server was asked %d times", tc.name, n)
		}
		s := status(w.laptop)
		if tc.alarm != "" && s.Alarms[tc.alarm] == 0 {
			t.Errorf("%s: no alarm %s: %v", tc.name, tc.alarm, s.Alarms)
		}
		for _, u := range s.Users {
			if u.Denied != "" {
				t.Errorf("%s: left a trace: %+v", tc.name, u)
			}
		}
		// The next one does not ask it again, let alone wait.
		w.want(w.in(w.laptop, "ana"), offline, tc.name, "again")
		if n := f.begun.Load(); n > 1 {
			t.Errorf("I01 %s: a second login within a minute asked %d times", tc.name, n)
		}
	}
}

func TestI03AServerThatAcceptsAndIsSilentCostsSeconds(t *testing.T) {
	t.Parallel()
	for name, behave := range map[string]func(net.Conn){
		"silent":              func(net.Conn) {},
		"one byte per second": func(c net.Conn) { drip(c) },
		"closes":              func(c net.Conn) { c.Close() },
		"speaks HTTP": func(c net.Conn) {
			io.WriteString(c, "HTTP/1.1 302 Found\r\nLocation: http://portal.test/\r\n\r\n")
			c.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newAna(t)
			w.ready(w.laptop, "ana")
			var conns atomic.Int32
			l := w.Listen(falsePort)
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					conns.Add(1)
					t.Cleanup(func() { c.Close() })
					go behave(c)
				}
			}()
			pointAt(t, w.laptop, nil, falseURL)
			start := time.Now()
			w.want(w.in(w.laptop, "ana"), offline, "I03")
			if took := time.Since(start); took > 9*time.Second {
				t.Errorf("I03 the login took %v", took)
			}
			if conns.Load() == 0 {
				t.Error("nobody tried the server")
			}
		})
	}
}

func drip(c net.Conn) {
	for {
		if _, err := c.Write([]byte{0x16}); err != nil {
			return
		}
		time.Sleep(time.Second)
	}
}

func TestI15TheSecondServerIsAskedWhereTheFirstIsDead(t *testing.T) {
	t.Parallel()
	w := newAna(t)
	w.ready(w.laptop, "ana")
	real := fmt.Sprintf("https://%s:8444", lab.ServerName)
	// Nobody listens there, in the second case nobody answers.
	pointAt(t, w.laptop, nil, falseURL, real)
	w.want(w.in(w.laptop, "ana"), online, "I15 nobody listens at the first")
	l := w.Listen(falsePort)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer c.Close()
		}
	}()
	w.laptop.Kill()
	w.laptop.RunAgent()
	w.want(w.in(w.laptop, "ana"), online, "I15 the first is silent")
}

// A relay stands between machine and server, passes on what it is told to and
// counts who knocks.
type relay struct {
	mu      sync.Mutex
	deaf    bool // what the server says is dropped, and nobody new gets through
	open    []net.Conn
	dropped int
}

func newRelay(t *testing.T, w *world, l net.Listener) *relay {
	t.Helper()
	r := &relay{}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			r.mu.Lock()
			deaf := r.deaf
			r.mu.Unlock()
			if deaf {
				c.Close()
				continue
			}
			s, err := w.DialServer()
			if err != nil {
				c.Close()
				continue
			}
			r.mu.Lock()
			r.open = append(r.open, c, s)
			r.mu.Unlock()
			go func() { io.Copy(s, c); s.Close() }()
			go r.back(c, s)
		}
	}()
	return r
}

// back carries what the server says to the machine, or loses it.
func (r *relay) back(c, s net.Conn) {
	defer c.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := s.Read(buf)
		r.mu.Lock()
		deaf := r.deaf
		if deaf {
			r.dropped += n
		}
		r.mu.Unlock()
		if err != nil || deaf {
			return // the machine sees the connection end: an answer that got lost
		}
		if _, err := c.Write(buf[:n]); err != nil {
			return
		}
	}
}

func (r *relay) set(deaf bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.deaf = deaf
}

// A dialogue is a login that a test leads step by step.
type dialogue struct {
	t   *testing.T
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
	all strings.Builder
}

func (w *world) dialogue(m *lab.Machine, user string, options ...string) *dialogue {
	w.t.Helper()
	args := append([]string{w.Programs().Agent, "login", user, "--uid", fmt.Sprint(m.UID(user)), "--script"}, options...)
	d := &dialogue{t: w.t, cmd: m.Command(args...)}
	var err error
	if d.in, err = d.cmd.StdinPipe(); err != nil {
		w.t.Fatal(err)
	}
	out, err := d.cmd.StdoutPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	d.out = bufio.NewReader(out)
	if err := d.cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { d.cmd.Process.Kill(); d.cmd.Wait() })
	return d
}

// expect reads on to a line that begins so.
func (d *dialogue) expect(start string) string {
	d.t.Helper()
	for {
		line, err := d.out.ReadString('\n')
		d.all.WriteString(line)
		if strings.HasPrefix(line, start) {
			return strings.TrimSpace(line)
		}
		if err != nil {
			d.t.Fatalf("%v before %q:\n%s", err, start, &d.all)
		}
	}
}

func (d *dialogue) say(answer string) {
	d.t.Helper()
	if _, err := io.WriteString(d.in, answer+"\n"); err != nil {
		d.t.Fatal(err)
	}
}

func TestALoginWhoseAnswerGotLostAfterTheCommitIsOneLogin(t *testing.T) {
	t.Parallel()
	w := newAna(t)
	w.ready(w.laptop, "ana")
	r := newRelay(t, w, w.Listen(falsePort))
	pointAt(t, w.laptop, nil, falseURL)
	w.laptop.Do("sync") // through the relay
	before := len(w.audit("ana", "verified_online"))

	code := w.code("ana")
	d := w.dialogue(w.laptop, "ana")
	if ask := d.expect("< ASK secret"); strings.Contains(ask, "offline") {
		t.Fatalf("the relay does not carry: %s", ask)
	}
	r.set(true)
	d.say(code)
	got := d.expect("< VERDICT")
	if got != "< VERDICT allow verified_offline" {
		t.Errorf("the answer got lost, and then: %s\n%s", got, &d.all)
	}
	if n := strings.Count(d.all.String(), "ASK"); n != 1 {
		t.Errorf("asked %d times, want once:\n%s", n, &d.all)
	}
	if r.dropped == 0 {
		t.Fatal("no answer was lost: this test proves nothing")
	}
	if n := len(w.audit("ana", "verified_online")); n != before+1 {
		t.Fatalf("the server knows of %d online logins more, want 1: it had not committed", n-before)
	}
	w.want(w.laptop.Login("ana", code), used, "the same code under another logon, offline")

	r.set(false)
	w.laptop.Do("sync")
	logons := map[string]int{}
	var all []struct{ Kind, User, Reason, Logon string }
	w.server.JSON(&all, "audit", "list", "--limit", "1000")
	for _, e := range all {
		if e.User == "ana" && (e.Reason == "verified_online" || e.Reason == "verified_offline") {
			logons[e.Logon]++
		}
	}
	if len(logons) != 2 { // the one that made ana ready, and this one
		t.Errorf("the audit trail has %d logins, want 2: %v", len(logons), logons)
	}
	if found := w.incidents(); len(found) > 0 {
		t.Errorf("an answer that got lost is an incident: %+v", found)
	}
	w.want(w.laptop.Login("ana", code), used, "the same code again, online")
	w.want(w.in(w.laptop, "ana"), online)
}

func TestI12TheServerComesBackWhileSomebodyIsAskedOffline(t *testing.T) {
	t.Parallel()
	w := newAna(t)
	w.ready(w.laptop, "ana")
	w.laptop.Cut(lab.Unplugged)
	code := w.code("ana")
	d := w.dialogue(w.laptop, "ana")
	if ask := d.expect("< ASK secret"); !strings.Contains(ask, "offline logins left") {
		t.Fatalf("not asked offline: %s", ask)
	}
	w.laptop.Restore()
	w.laptop.Do("sync")
	d.say(code)
	if got := d.expect("< VERDICT"); got != "< VERDICT allow verified_offline" {
		t.Errorf("I12 %s", got)
	}
	w.want(w.laptop.Login("ana", code), used, "I12 the same code online")
	w.laptop.Do("sync")
	if n := len(w.audit("ana", "verified_offline")); n != 1 {
		t.Errorf("I12 the server knows of %d offline logins, want 1", n)
	}
	if found := w.incidents(); len(found) > 0 {
		t.Errorf("I12 an incident: %+v", found)
	}
}

func TestI14OldTLSIsRefusedByBothSides(t *testing.T) {
	t.Parallel()
	w := newAna(t)
	w.ready(w.laptop, "ana")
	for port, name := range map[int]string{8443: "people", 8444: "machines"} {
		for _, version := range []uint16{tls.VersionTLS10, tls.VersionTLS11} {
			conn, err := w.DialServerPort(port)
			if err != nil {
				t.Fatal(err)
			}
			err = tls.Client(conn, &tls.Config{InsecureSkipVerify: true, MinVersion: version, MaxVersion: version, ServerName: lab.ServerName}).Handshake()
			conn.Close()
			if err == nil {
				t.Errorf("I14 the listener for %s speaks %s", name, tls.VersionName(version))
			}
		}
	}
	ca := newAuthority(t)
	cert := ca.leaf(lab.ServerName, -day, day)
	var spoken atomic.Int32
	l := tls.NewListener(w.Listen(falsePort), &tls.Config{Certificates: []tls.Certificate{*cert}, MaxVersion: tls.VersionTLS12})
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if c.(*tls.Conn).Handshake() == nil {
				spoken.Add(1)
			}
			c.Close()
		}
	}()
	pointAt(t, w.laptop, []string{ca.pin()}, falseURL)
	w.want(w.in(w.laptop, "ana"), offline, "I14")
	if spoken.Load() != 0 {
		t.Error("I14 the agent speaks TLS 1.2")
	}
}

func TestI11AnAddressThatSwallowsPacketsIsOvertaken(t *testing.T) {
	t.Parallel()
	w := newAna(t)
	w.ready(w.laptop, "ana")
	// The server's name also has an address behind which there is nothing.
	w.laptop.Must("sh", "-c", "ip addr add fd77::2/64 dev eth0 nodad && ip neigh add fd77::1 lladdr 02:00:00:00:00:01 dev eth0 nud permanent && "+
		"sed 's/^10.*/&\\nfd77::1 "+lab.ServerName+"/' /etc/hosts >/run/hosts && mount --bind /run/hosts /etc/hosts")
	w.laptop.Kill()
	w.laptop.RunAgent()
	w.want(w.in(w.laptop, "ana"), online, "I11")
}

// The same with a hardware token: the press that the server took counts once,
// and the next one lets in, on the server and without it.
func TestALostAnswerCostsATokenNoCode(t *testing.T) {
	t.Parallel()
	w := newWorld(t, []string{"ben"})
	w.token("ben")
	press := w.tokens["ben"].Press
	w.want(w.laptop.Login("ben", press()), online)
	r := newRelay(t, w, w.Listen(falsePort))
	pointAt(t, w.laptop, nil, falseURL)
	w.laptop.Do("sync") // through the relay

	code := press()
	d := w.dialogue(w.laptop, "ben")
	d.expect("< ASK secret")
	r.set(true)
	d.say(code)
	if got := d.expect("< VERDICT"); got != "< VERDICT allow verified_offline" || r.dropped == 0 {
		t.Errorf("of %d answers that got lost: %s\n%s", r.dropped, got, &d.all)
	}
	w.want(w.laptop.Login("ben", press()), offline, "the next press, without the server")
	r.set(false)
	w.laptop.Do("sync")
	w.want(w.laptop.Login("ben", press()), online, "and the next, with it")
	if got := w.laptop.Login("ben", code); got.Code == 0 {
		t.Errorf("a code lets in a second time:\n%s", got.Transcript)
	}
	if found := w.incidents(); len(found) > 0 {
		t.Errorf("an answer that got lost is an incident: %+v", found)
	}
}
