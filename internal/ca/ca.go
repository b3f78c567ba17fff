// Package ca is the deployment's own certificate authority: one key, one
// self-made certificate, and short-lived certificates for the server's names.
// Machines know the server by the CA's key alone (its pin), so they need no
// public authority.
//
// It refuses to certify anything but the server itself.
package ca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// File is the CA's certificate in the data directory, for administrators.
const File = "ca.pem"

const (
	caLife   = 20 * 365 * 24 * time.Hour
	leafLife = 90 * 24 * time.Hour
	leafLeft = 30 * 24 * time.Hour // a leaf with less than this left is made anew
	backdate = time.Hour           // for clocks that are a little behind

	caBackdate = 48 * time.Hour // at New Year another server's clock may be a little behind
)

// An Authority makes the server's certificates.
type Authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	now  func() time.Time
}

// New returns the authority of a key that is kept elsewhere. Its certificate is
// made from the key and the year, and signed without randomness (RFC 6979), so
// that all servers of a deployment show the same one. One that was written in an
// earlier year stays good, because machines and administrators know the key.
func New(key *ecdsa.PrivateKey, deployment string, now func() time.Time) (*Authority, error) {
	id := spki(&key.PublicKey)
	year := now().UTC().Year()
	began := time.Date(year, time.January, 1, 0, 0, 0, 0, time.UTC)
	template := &x509.Certificate{
		SerialNumber:          new(big.Int).SetBytes(binary.BigEndian.AppendUint16(id[:8:8], uint16(year))),
		Subject:               pkix.Name{CommonName: "Latchkey CA", Organization: []string{deployment}},
		NotBefore:             began.Add(-caBackdate),
		NotAfter:              began.Add(caLife),
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
		KeyUsage:              x509.KeyUsageCertSign,
		SubjectKeyId:          id[:20],
	}
	der, err := x509.CreateCertificate(nil, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("making the CA's certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	return &Authority{key, cert, now}, err
}

// Pin is the SHA-256 of the CA's SubjectPublicKeyInfo: what machines know the
// server by.
func (a *Authority) Pin() []byte {
	sum := sha256.Sum256(a.cert.RawSubjectPublicKeyInfo)
	return sum[:]
}

// Pool holds the CA alone.
func (a *Authority) Pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

// PEM is the CA's certificate.
func (a *Authority) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

// Write puts the CA's certificate into a directory, unless one of the same key
// is there already, and returns its path. A new file is given away first: root
// may run a command of the server's.
func (a *Authority) Write(dir string, give func(*os.File) error) (string, error) {
	path := filepath.Join(dir, File)
	if have, err := os.ReadFile(path); err == nil && a.made(have) {
		return path, nil
	}
	f, err := os.CreateTemp(dir, "."+File+"-*")
	if err != nil {
		return "", fmt.Errorf("writing the CA's certificate: %w", err)
	}
	_, err = f.Write(a.PEM())
	if err = errors.Join(err, f.Chmod(0o644), give(f), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return "", errors.Join(fmt.Errorf("writing the CA's certificate: %w", err), os.Remove(f.Name()))
	}
	return path, nil
}

func (a *Authority) made(raw []byte) bool {
	block, _ := pem.Decode(raw)
	if block == nil {
		return false
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	return err == nil && a.now().Before(cert.NotAfter) && a.key.PublicKey.Equal(cert.PublicKey)
}

// Issue makes a key and certificate for the server under the given hosts: DNS
// names and IP addresses.
func (a *Authority) Issue(hosts []string) (tls.Certificate, error) {
	if len(hosts) == 0 {
		return tls.Certificate{}, errors.New("making the server's certificate: it has no name")
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("making the server's key: %w", err)
	}
	serial := make([]byte, 16)
	if _, err := rand.Read(serial); err != nil {
		return tls.Certificate{}, fmt.Errorf("making the server's certificate: %w", err)
	}
	t := &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(serial),
		Subject:      pkix.Name{CommonName: "Latchkey server"},
		NotBefore:    a.now().Add(-backdate),
		NotAfter:     a.now().Add(leafLife),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, h)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, t, a.cert, &key.PublicKey, a.key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("making the server's certificate: %w", err)
	}
	leaf, err := x509.ParseCertificate(der)
	// The CA goes along: machines find the pinned key in the chain.
	return tls.Certificate{Certificate: [][]byte{der, a.cert.Raw}, PrivateKey: key, Leaf: leaf}, err
}

// Server returns the TLS side of a listener under the given hosts: TLS 1.3
// only, with certificates that are renewed while it runs.
func (a *Authority) Server(hosts []string) (*tls.Config, error) {
	l := &leaf{ca: a, hosts: hosts}
	if _, err := l.get(nil); err != nil {
		return nil, err
	}
	return &tls.Config{MinVersion: tls.VersionTLS13, GetCertificate: l.get}, nil
}

// AgentServer is Server for machines: every one shows its own certificate,
// self-made as they are. Who it is, its key says; the caller looks that up.
func (a *Authority) AgentServer(hosts []string) (*tls.Config, error) {
	c, err := a.Server(hosts)
	if err != nil {
		return nil, err
	}
	c.ClientAuth = tls.RequireAnyClientCert
	return c, nil
}

type leaf struct {
	ca    *Authority
	hosts []string
	mu    sync.Mutex
	cert  *tls.Certificate
}

func (l *leaf) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cert != nil && l.ca.now().Add(leafLeft).Before(l.cert.Leaf.NotAfter) && !l.ca.now().Before(l.cert.Leaf.NotBefore) {
		return l.cert, nil
	}
	c, err := l.ca.Issue(l.hosts)
	if err != nil {
		return nil, err
	}
	l.cert = &c
	return l.cert, nil
}

// Identity is the SHA-256 of a certificate's SubjectPublicKeyInfo: what a
// machine is known by.
func Identity(c *x509.Certificate) []byte {
	sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	return sum[:]
}

func spki(pub *ecdsa.PublicKey) [32]byte {
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil { // a P-256 key always marshals
		return [32]byte{}
	}
	return sha256.Sum256(der)
}
