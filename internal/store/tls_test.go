package store

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"latchkey"
	"latchkey/internal/store/storetest"
)

// A signer is a certificate authority.
type signer struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newSigner(t *testing.T) signer {
	t.Helper()
	template := &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	cert, key, text := certify(t, template, nil)
	return signer{cert, key, text}
}

// certify makes a certificate, by itself where there is no signer.
func certify(t *testing.T, template *x509.Certificate, by *signer) (*x509.Certificate, *ecdsa.PrivateKey, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template.SerialNumber, template.NotBefore, template.NotAfter = big.NewInt(time.Now().UnixNano()), time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, parentKey := template, key
	if by != nil {
		parent, parentKey = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
	must(t, err)
	cert, err := x509.ParseCertificate(der)
	must(t, err)
	return cert, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// issue makes a certificate and its key, as PEM.
func (s signer) issue(t *testing.T, template *x509.Certificate) (cert, key []byte) {
	t.Helper()
	_, private, text := certify(t, template, &s)
	der, err := x509.MarshalPKCS8PrivateKey(private)
	must(t, err)
	return text, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// secured is a PostgreSQL that is reached by TLS only, and asks for a
// certificate of the CA or a password. It is certified as 127.0.0.1 and listens
// on 127.0.0.2 as well.
func secured(t *testing.T, ca signer) (port int) {
	t.Helper()
	dir, err := os.MkdirTemp("", "latchkey-tls-") // short, for the socket
	must(t, err)
	c, err := storetest.NewCluster(dir)
	if err != nil {
		must(t, os.RemoveAll(dir))
		t.Fatal(err)
	}
	t.Cleanup(c.Remove)
	for _, s := range []string{
		"ALTER ROLE latchkey PASSWORD 'hunter2'", "CREATE ROLE carded LOGIN",
		"CREATE DATABASE latchkey OWNER latchkey", "CREATE DATABASE carded OWNER carded",
	} {
		must(t, c.Administer(t.Context(), s))
	}
	write := func(name string, content []byte) string {
		path, err := c.File(name, content)
		must(t, err)
		return path
	}
	cert, key := ca.issue(t, &x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}})
	rules := "local all postgres trust\nhostssl all carded 127.0.0.0/8 cert\nhostssl all all 127.0.0.0/8 scram-sha-256\n"
	port, err = c.Listen("127.0.0.1,127.0.0.2", "ssl=on", "ssl_cert_file="+write("cert", cert), "ssl_key_file="+write("key", key),
		"ssl_ca_file="+write("ca", ca.pem), "hba_file="+write("hba", []byte(rules)))
	must(t, err)
	return port
}

func TestTheWayToARealDatabaseIsEncryptedAndChecked(t *testing.T) {
	t.Parallel()
	ca := newSigner(t)
	port := secured(t, ca)
	dir := t.TempDir()
	file := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, content, 0o600))
		return path
	}
	cert, key := ca.issue(t, &x509.Certificate{Subject: pkix.Name{CommonName: "carded"}})
	right, wrong := "&sslrootcert="+file("ca", ca.pem), "&sslrootcert="+file("other", newSigner(t).pem)
	password := "&passfile=" + file("pgpass", []byte("*:*:*:*:hunter2\n"))
	none := "&passfile=" + file("empty", nil)
	card := "&sslcert=" + file("cert", cert) + "&sslkey=" + file("key", key)
	for name, tc := range map[string]struct {
		user, host, query string
		code              latchkey.Code // "": it opens
		says              string
	}{
		"with a password":              {"latchkey", "127.0.0.1", "sslmode=verify-full" + right + password, "", ""},
		"with a certificate":           {"carded", "127.0.0.1", "sslmode=verify-full" + right + card + none, "", ""},
		"without either":               {"latchkey", "127.0.0.1", "sslmode=verify-full" + right + none, latchkey.Forbidden, "does not let latchkey in"},
		"of another authority":         {"latchkey", "127.0.0.1", "sslmode=verify-full" + wrong + password, latchkey.Forbidden, "is not the server that it should be"},
		"at an address that is not it": {"latchkey", "127.0.0.2", "sslmode=verify-full" + right + password, latchkey.Forbidden, "is not the server that it should be"},
		"in the clear":                 {"latchkey", "127.0.0.1", "sslmode=disable" + password, latchkey.Forbidden, "does not let latchkey in"},
	} {
		t.Run(name, func(t *testing.T) {
			p := place{filepath.Join(t.TempDir(), "data"), fmt.Sprintf("postgres://%s@%s:%d/%s?%s", tc.user, tc.host, port, tc.user, tc.query)}
			config := p.config()
			config.KeyFile = filepath.Join(dir, "master.key")
			db, err := Open(t.Context(), config)
			if tc.code != "" {
				if latchkey.CodeOf(err) != tc.code || !strings.Contains(err.Error(), tc.says) || strings.Contains(err.Error(), "hunter2") {
					t.Errorf("%q (%s), want %q (%s)", err, latchkey.CodeOf(err), tc.says, tc.code)
				}
				return
			}
			must(t, err)
			defer func() { must(t, db.Close()) }()
			var encrypted bool
			must(t, db.row(t.Context(), "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").Scan(&encrypted))
			if !encrypted {
				t.Error("not encrypted")
			}
		})
	}
}
