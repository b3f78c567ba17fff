//go:build unix

package keystore_test

import (
	"crypto/ecdh"
	"crypto/tls"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"latchkey"
	"latchkey/internal/agent/keystore"
	"latchkey/internal/seal"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestKeysAreTheSameAfterOpening(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "keys")
	made, err := keystore.Create(dir)
	must(t, err)
	k, err := keystore.Open(dir)
	must(t, err)
	sealed, err := seal.Seal(made.Sealing().PublicKey(), []byte("i"), nil, []byte("codes"))
	must(t, err)
	if got, err := seal.Open(k.Sealing(), []byte("i"), nil, sealed); err != nil || string(got) != "codes" {
		t.Errorf("opened %q, %v", got, err)
	}
	if !made.Identity().Leaf.Equal(k.Identity().Leaf) {
		t.Error("another certificate")
	}
	if k.Class() != latchkey.Software || k.Sealing().Curve() != ecdh.P256() {
		t.Error("wrong class or curve")
	}
	if _, err := keystore.Create(dir); err == nil {
		t.Error("keys were replaced")
	}
}

// The certificate must work whatever the clocks say.
func TestTheCertificateCarriesTheKeyThroughTLS(t *testing.T) {
	t.Parallel()
	k, err := keystore.Create(filepath.Join(t.TempDir(), "keys"))
	must(t, err)
	leaf := k.Identity().Leaf
	for _, at := range []time.Time{time.Unix(1, 0), time.Date(2998, 1, 1, 0, 0, 0, 0, time.UTC)} {
		if at.Before(leaf.NotBefore) || at.After(leaf.NotAfter) {
			t.Errorf("not valid in %d", at.Year())
		}
	}
	a, b := net.Pipe()
	server := tls.Server(a, &tls.Config{Certificates: []tls.Certificate{k.Identity()}, ClientAuth: tls.RequireAnyClientCert})
	client := tls.Client(b, &tls.Config{Certificates: []tls.Certificate{k.Identity()}, InsecureSkipVerify: true})
	done := make(chan error, 1)
	go func() { done <- server.Handshake() }()
	must(t, client.Handshake())
	must(t, <-done)
	if got := server.ConnectionState().PeerCertificates; len(got) != 1 || !got[0].Equal(leaf) {
		t.Errorf("the server saw %d certificates", len(got))
	}
}

func TestKeysThatAreNotPrivateAreRefused(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		harm func(dir string) error
		want string
	}{
		"readable by others": {func(d string) error { return os.Chmod(filepath.Join(d, "sealing.key"), 0o640) }, "0600"},
		"a link": {func(d string) error {
			p := filepath.Join(d, "identity.key")
			return firstError(os.Rename(p, p+".x"), os.Symlink("identity.key.x", p))
		}, "plain file"},
		"a FIFO": {func(d string) error {
			p := filepath.Join(d, "identity.key")
			return firstError(os.Remove(p), syscall.Mkfifo(p, 0o600))
		}, "plain file"},
		"missing":     {func(d string) error { return os.Remove(filepath.Join(d, "sealing.key")) }, "no such file"},
		"no PEM":      {func(d string) error { return os.WriteFile(filepath.Join(d, "sealing.key"), []byte("x"), 0o600) }, "PEM"},
		"another key": {takeSealing, "carries another key"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "keys")
			_, err := keystore.Create(dir)
			must(t, err)
			info, err := os.Stat(filepath.Join(dir, "identity.key"))
			must(t, err)
			if info.Mode().Perm() != 0o600 {
				t.Errorf("mode %v", info.Mode())
			}
			must(t, tc.harm(dir))
			if _, err := keystore.Open(dir); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v", err)
			}
		})
	}
}

func firstError(errs ...error) error {
	for _, e := range errs {
		if e != nil {
			return e
		}
	}
	return nil
}

func takeSealing(d string) error {
	raw, err := os.ReadFile(filepath.Join(d, "sealing.key"))
	return firstError(err, os.WriteFile(filepath.Join(d, "identity.key"), raw, 0o600))
}
