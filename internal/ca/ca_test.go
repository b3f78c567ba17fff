package ca

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func authority(t *testing.T, now func() time.Time) (*Authority, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a, err := New(key, "dep_1", now)
	if err != nil {
		t.Fatal(err)
	}
	return a, key
}

//lint:ignore ST1008 the errors of the two ends belong together
func handshake(t *testing.T, server, client *tls.Config) (serverErr, clientErr error, version uint16) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	done := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err == nil {
			err = tls.Server(c, server).Handshake()
			_ = c.Close()
		}
		done <- err
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	conn := tls.Client(c, client)
	clientErr = conn.Handshake()
	if clientErr == nil {
		_, clientErr = conn.Read(make([]byte, 1)) // TLS 1.3 refuses the client's certificate late
		if clientErr != nil && clientErr.Error() == "EOF" {
			clientErr = nil
		}
	}
	_ = conn.Close()
	return <-done, clientErr, conn.ConnectionState().Version
}

func TestAServerIsKnownByItsAuthority(t *testing.T) {
	t.Parallel()
	now := func() time.Time { return noon }
	a, key := authority(t, now)
	again, err := New(key, "dep_1", func() time.Time { return noon.Add(time.Hour) })
	if err != nil || !bytes.Equal(a.Pin(), again.Pin()) {
		t.Fatalf("the pin changed, or %v", err)
	}
	server, err := a.Server([]string{"mfa.example.org", "127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	other, _ := authority(t, now)
	for name, tc := range map[string]struct {
		client *tls.Config
		ok     bool
	}{
		"by name":                       {&tls.Config{RootCAs: a.Pool(), ServerName: "mfa.example.org", Time: now}, true},
		"by address":                    {&tls.Config{RootCAs: a.Pool(), ServerName: "127.0.0.1", Time: now}, true},
		"by a certificate made earlier": {&tls.Config{RootCAs: again.Pool(), ServerName: "127.0.0.1", Time: func() time.Time { return noon.Add(time.Hour) }}, true},
		"by another name":               {&tls.Config{RootCAs: a.Pool(), ServerName: "example.org", Time: now}, false},
		"under another authority":       {&tls.Config{RootCAs: other.Pool(), ServerName: "127.0.0.1", Time: now}, false},
		"over TLS 1.2":                  {&tls.Config{RootCAs: a.Pool(), ServerName: "127.0.0.1", Time: now, MaxVersion: tls.VersionTLS12}, false},
	} {
		_, err, version := handshake(t, server, tc.client)
		if (err == nil) != tc.ok {
			t.Errorf("%s: %v", name, err)
		}
		if tc.ok && version != tls.VersionTLS13 {
			t.Errorf("%s: version %x", name, version)
		}
	}
}

func TestAMachineMustShowACertificate(t *testing.T) {
	t.Parallel()
	now := func() time.Time { return noon }
	a, _ := authority(t, now)
	server, err := a.AgentServer([]string{"127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	client := &tls.Config{RootCAs: a.Pool(), ServerName: "127.0.0.1", Time: now}
	if _, err, _ := handshake(t, server, client); err == nil {
		t.Error("a machine without a certificate was let in")
	}
	other, _ := authority(t, now) // whoever made it does not matter
	cert, err := other.Issue([]string{"pc-17"})
	if err != nil {
		t.Fatal(err)
	}
	client.Certificates = []tls.Certificate{cert}
	if serverErr, err, _ := handshake(t, server, client); err != nil || serverErr != nil {
		t.Error(serverErr, err)
	}
}

func TestACertificateIsRenewedBeforeItEnds(t *testing.T) {
	t.Parallel()
	at := noon
	a, _ := authority(t, func() time.Time { return at })
	l := &leaf{ca: a, hosts: []string{"127.0.0.1"}}
	first, err := l.get(nil)
	if err != nil {
		t.Fatal(err)
	}
	at = noon.Add(leafLife - leafLeft - time.Hour)
	if same, _ := l.get(nil); same != first {
		t.Error("renewed too early")
	}
	at = noon.Add(leafLife - leafLeft + time.Hour)
	next, err := l.get(nil)
	if err != nil || next == first || !next.Leaf.NotAfter.After(at.Add(leafLeft)) {
		t.Errorf("not renewed, %v", err)
	}
}

func TestTheFileStaysWhileItsKeyDoes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a, key := authority(t, func() time.Time { return noon })
	path, err := a.Write(dir, kept)
	if err != nil || path != filepath.Join(dir, File) {
		t.Fatal(path, err)
	}
	first, _ := os.ReadFile(path)
	again, err := New(key, "dep_1", func() time.Time { return noon.Add(time.Hour) })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := again.Write(dir, kept); err != nil {
		t.Fatal(err)
	}
	if second, _ := os.ReadFile(path); !bytes.Equal(first, second) {
		t.Error("the file changed")
	}
	other, _ := authority(t, func() time.Time { return noon })
	if _, err := other.Write(dir, kept); err != nil {
		t.Fatal(err)
	}
	if third, _ := os.ReadFile(path); bytes.Equal(first, third) {
		t.Error("the file of another key stayed")
	}
	if !x509.NewCertPool().AppendCertsFromPEM(other.PEM()) {
		t.Error("the file is no certificate")
	}
}

// Servers of one deployment show one certificate, and in another year one with
// another serial number: a strict program takes no two of the same.
func TestAllServersShowOneCertificate(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	at := func(when string) *Authority {
		t.Helper()
		now, err := time.Parse(time.DateOnly, when)
		if err != nil {
			t.Fatal(err)
		}
		a, err := New(key, "one", func() time.Time { return now })
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	spring, autumn, later := at("2026-03-01"), at("2026-10-01"), at("2027-01-01")
	if !spring.cert.Equal(autumn.cert) {
		t.Error("two starts, two certificates")
	}
	if autumn.cert.Equal(later.cert) || autumn.cert.SerialNumber.Cmp(later.cert.SerialNumber) == 0 {
		t.Error("another year, the same serial number")
	}
}

// kept leaves a file to whoever made it.
func kept(*os.File) error { return nil }
