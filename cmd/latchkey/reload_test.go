//go:build linux

package main

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const soon = 60 * time.Second // for what is quick on a machine at rest

// A running is a real server process with a service manager that listens.
type running struct {
	*testing.T
	dir, url, token string
	cmd             *exec.Cmd
	lines           chan string // of its log
	manager         *net.UnixConn
}

func runServer(t *testing.T) *running {
	t.Helper()
	r := &running{T: t, dir: filepath.Join(t.TempDir(), "data"), lines: make(chan string, 10_000)}
	r.ok(os.Mkdir(r.dir, 0o700))
	socket := filepath.Join(t.TempDir(), "notify")
	var err error
	r.manager, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	r.ok(err)
	t.Cleanup(func() { _ = r.manager.Close() })
	r.pair(1)
	r.settle(`{"tls_certificate": %q, "tls_key": %q}`, r.dir+"/cert.pem", r.dir+"/key.pem")

	r.cmd = exec.Command("latchkey", "serve", "--data", r.dir, "--listen", "127.0.0.1:0", "--agent-listen", "127.0.0.1:0")
	r.cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+socket)
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := r.cmd.StderrPipe()
	r.ok(err)
	r.ok(r.cmd.Start())
	t.Cleanup(func() { _ = r.cmd.Process.Kill() })
	go func() {
		for s := bufio.NewScanner(out); s.Scan(); {
			r.lines <- s.Text()
		}
	}()
	r.url = served.FindStringSubmatch(r.line("serving administrators at"))[1]
	r.told("READY=1")
	raw, err := exec.Command("latchkey", "admin", "create", "root", "--data", r.dir, "--json").Output()
	r.ok(err)
	var made created
	r.ok(json.Unmarshal(raw, &made))
	r.token = made.Token
	return r
}

func (r *running) ok(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

func (r *running) settle(format string, args ...any) {
	r.ok(os.WriteFile(filepath.Join(r.dir, settingsFile), fmt.Appendf(nil, format, args...), 0o600))
}

// pair writes a certificate for console.example with a serial number.
func (r *running) pair(serial int64) {
	r.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	r.ok(err)
	c := &x509.Certificate{SerialNumber: big.NewInt(serial), NotBefore: time.Unix(0, 0), NotAfter: time.Now().AddDate(1, 0, 0), DNSNames: []string{"console.example"}}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	r.ok(err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	r.ok(err)
	for name, b := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: der}, "key.pem": {Type: "PRIVATE KEY", Bytes: private}} {
		r.ok(os.WriteFile(filepath.Join(r.dir, name), pem.EncodeToMemory(b), 0o600))
	}
}

// line waits for a line of the log.
func (r *running) line(with string) string {
	r.Helper()
	for late := time.After(soon); ; {
		select {
		case l := <-r.lines:
			if strings.Contains(l, with) {
				return l
			}
		case <-late:
			r.Fatalf("the log does not say %q", with)
		}
	}
}

// told waits for what the service manager is told.
func (r *running) told(want string) {
	r.Helper()
	b := make([]byte, 4096)
	r.ok(r.manager.SetReadDeadline(time.Now().Add(soon)))
	for {
		n, err := r.manager.Read(b)
		if err != nil {
			r.Fatalf("waiting for %s: %v", want, err)
		}
		if strings.Contains(string(b[:n]), want) {
			return
		}
	}
}

func (r *running) dial(name string) (*tls.Conn, error) {
	d := &net.Dialer{Timeout: soon}
	return tls.DialWithDialer(d, "tcp", strings.TrimPrefix(r.url, "https://"), &tls.Config{ServerName: name, InsecureSkipVerify: true}) // the test looks itself
}

// shown is the serial number of the certificate under a name, "own" where it is
// of the server's own CA.
func (r *running) shown(name string) string {
	r.Helper()
	conn, err := r.dial(name)
	r.ok(err)
	defer conn.Close()
	leaf := conn.ConnectionState().PeerCertificates[0]
	if leaf.Subject.CommonName == "Latchkey server" {
		return "own"
	}
	return leaf.SerialNumber.String()
}

func (r *running) shows(named, when string) {
	r.Helper()
	for name, want := range map[string]string{"console.example": named, "localhost": "own", "": "own"} {
		if got := r.shown(name); got != want {
			r.Errorf("%s: under %q the server shows %s, want %s", when, name, got, want)
		}
	}
}

func TestARunningServerTakesNewSettingsAndRefusesBadOnes(t *testing.T) {
	t.Parallel()
	r := runServer(t)
	r.shows("1", "at the start")
	hup := func(saying, told string) {
		r.Helper()
		r.ok(r.cmd.Process.Signal(syscall.SIGHUP))
		r.told("RELOADING=1")
		r.told(told)
		r.told("READY=1")
		r.line(saying)
	}
	r.pair(2)
	hup("settings were read again", "STATUS=serving")
	r.shows("2", "after a new certificate")

	for name, text := range map[string]string{
		"half a file":                `{"log_level":`,
		"an unknown key":             `{"listen":"0.0.0.0:1"}`,
		"a certificate without key":  fmt.Sprintf(`{"tls_certificate": %q}`, r.dir+"/cert.pem"),
		"a key of something else":    fmt.Sprintf(`{"tls_certificate": %q, "tls_key": %q}`, r.dir+"/cert.pem", r.dir+"/master.key"),
		"a level that there is none": `{"log_level":"loud"}`,
	} {
		r.settle("%s", text)
		hup("settings were refused, those from before stay", "settings refused: "+r.dir)
		r.shows("2", name)
	}
	r.settle(`{"log_level":"loud"}`)
	out, err := exec.Command("latchkey", "config", "check", "--data", r.dir).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "loud") {
		t.Errorf("config check: %v %s", err, out)
	}

	r.ok(os.Remove(filepath.Join(r.dir, settingsFile)))
	hup("settings were read again", "STATUS=serving")
	r.shows("own", "without a file")
}

func TestAServerDoesNotStartOnBadSettings(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	path := filepath.Join(t.TempDir(), "server.json")
	if err := os.WriteFile(path, []byte(`{"lisen":1}`), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("latchkey", "serve", "--data", dir, "--config", path).CombinedOutput()
	if err == nil || !strings.Contains(string(out), path) || !strings.Contains(string(out), "lisen") {
		t.Errorf("%v: %s", err, out)
	}
}

// A login is a request or two: one that has begun is answered, and who comes
// later finds no door here and goes elsewhere.
func TestAServerThatIsStoppedFinishesWhatHasBegun(t *testing.T) {
	t.Parallel()
	r := runServer(t)
	conn, err := r.dial("localhost")
	r.ok(err)
	defer conn.Close()
	other, err := r.dial("localhost")
	r.ok(err)
	defer other.Close()
	body := `{"name":"ana"}` // the server gives it 10 s to arrive
	_, err = fmt.Fprintf(conn, "POST /api/v1/users HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		r.token, len(body), body[:5])
	r.ok(err)
	// Another request on the same listener is answered: the half one has arrived before it.
	fmt.Fprint(other, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
	_, err = io.Copy(io.Discard, other)
	r.ok(err)

	r.ok(r.cmd.Process.Signal(syscall.SIGTERM))
	r.told("STOPPING=1")
	for until := time.Now().Add(soon); ; time.Sleep(5 * time.Millisecond) {
		late, err := net.DialTimeout("tcp", strings.TrimPrefix(r.url, "https://"), time.Second)
		if err != nil {
			break
		}
		_ = late.Close()
		if time.Now().After(until) {
			t.Fatal("a server that is stopped takes new connections")
		}
	}
	_, err = io.WriteString(conn, body[5:])
	r.ok(err)
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	r.ok(err)
	text, err := io.ReadAll(answer.Body)
	r.ok(err)
	if answer.StatusCode != http.StatusCreated && answer.StatusCode != http.StatusOK || !bytes.Contains(text, []byte("ana")) {
		t.Errorf("the request that had begun: %d %s", answer.StatusCode, text)
	}
	if err := r.cmd.Wait(); err != nil {
		t.Errorf("the server ended with %v", err)
	}
}
