package online

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"
)

// A Pin is the SHA-256 of the SubjectPublicKeyInfo of the server's CA. No pins
// match nothing.
type Pin [sha256.Size]byte

// PinOf returns the pin of a certificate.
func PinOf(cert *x509.Certificate) Pin { return sha256.Sum256(cert.RawSubjectPublicKeyInfo) }

// ParsePin reads the hexadecimal form.
func ParsePin(s string) (Pin, error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(Pin{}) {
		return Pin{}, errors.New("not a pin: 64 hexadecimal digits are")
	}
	return Pin(b), nil
}

// String returns the hexadecimal form.
func (p Pin) String() string { return hex.EncodeToString(p[:]) }

// ErrPin: whoever answered is not the server, or nobody can tell.
var ErrPin = errors.New("not the server that this machine was enrolled with")

// tls is the configuration for one host, a name or an address.
func (c Config) tls(host string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		ServerName: host,
		// The checks of crypto/tls trust the system's CAs and the wall clock.
		// VerifyConnection does them by the pin and the clock floor instead; it
		// is called for every connection, and without it none is made.
		InsecureSkipVerify: true,
		VerifyConnection:   func(s tls.ConnectionState) error { return verifyServer(s.PeerCertificates, host, c.Pins, c.Floor()) },
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			if c.Identity == nil {
				return &tls.Certificate{}, nil
			}
			return c.Identity, nil
		},
	}
}

// verifyServer checks the chain up to a pinned CA (without one there is no root,
// and nothing holds), which the server sends
// along, and the name.
func verifyServer(chain []*x509.Certificate, host string, pins []Pin, floor time.Time) error {
	if len(chain) == 0 || host == "" {
		return fmt.Errorf("%w: no certificate", ErrPin)
	}
	leaf, roots, between := chain[0], x509.NewCertPool(), x509.NewCertPool()
	for _, cert := range chain {
		if own := PinOf(cert); cert.IsCA && own != (Pin{}) && slices.Contains(pins, own) {
			roots.AddCert(cert)
		} else if cert != leaf {
			between.AddCert(cert)
		}
	}
	_, err := leaf.Verify(x509.VerifyOptions{
		DNSName: host, Roots: roots, Intermediates: between,
		CurrentTime: judgedAt(chain, floor),
		KeyUsages:   []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrPin, err)
	}
	return nil
}

// judgedAt is the earliest time, not before the floor, at which the chain has
// begun. It is now or later than the floor, so a chain that has ended by the
// floor has ended; one that begins after it may well have begun.
func judgedAt(chain []*x509.Certificate, floor time.Time) time.Time {
	for _, cert := range chain {
		if cert.NotBefore.After(floor) {
			floor = cert.NotBefore
		}
	}
	return floor
}
