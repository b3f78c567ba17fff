// Package keystore holds a machine's two keys as files: the identity key, which
// the machine shows the server as a TLS client, and the sealing key, which the
// server seals bundles to. A store in a TPM offers the same methods.
//
// It refuses keys that others may read, and to replace keys that are there: a
// machine that lost them must enroll again.
package keystore

import (
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"latchkey"
)

const (
	dirMode  = 0o700
	fileMode = 0o600
	maxSize  = 64 << 10

	identityKey  = "identity.key"
	identityCert = "identity.crt"
	sealingKey   = "sealing.key"
)

// Keys are the keys of one machine.
type Keys struct {
	identity tls.Certificate
	sealing  *ecdh.PrivateKey
}

// Identity is the client certificate. Its lifetime means nothing: the server
// knows the key, and ends it by forgetting it.
func (k *Keys) Identity() tls.Certificate { return k.identity }

// Sealing is the key that bundles are sealed to (P-256).
func (k *Keys) Sealing() ecdh.KeyExchanger { return k.sealing }

// Class says what a thief of the disk gets: these keys are files.
func (k *Keys) Class() latchkey.KeyClass { return latchkey.Software }

// Create makes new keys in dir, of mode 0600. It refuses a dir that has any, and
// one that is a link: root enrolls for the agent's account, which owns the folder
// above and could lead it astray.
func Create(dir string) (*Keys, error) {
	if err := os.MkdirAll(filepath.Dir(dir), dirMode); err != nil {
		return nil, fmt.Errorf("creating keys: %w", err)
	}
	id, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("creating identity key: %w", err)
	}
	sealing, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("creating sealing key: %w", err)
	}
	cert, err := carrier(id)
	if err != nil {
		return nil, fmt.Errorf("creating identity certificate: %w", err)
	}
	if err := writeAll(dir, id, sealing, cert); err != nil {
		return nil, fmt.Errorf("creating keys: %w", err)
	}
	return Open(dir)
}

func writeAll(dir string, id *ecdsa.PrivateKey, sealing *ecdh.PrivateKey, cert []byte) error {
	state, err := os.OpenRoot(filepath.Dir(dir))
	if err != nil {
		return err
	}
	defer state.Close()
	root, err := folder(state, filepath.Base(dir))
	if err != nil {
		return err
	}
	err = errors.Join(
		writeKey(state, root, identityKey, id),
		writeKey(state, root, sealingKey, sealing),
		write(state, root, identityCert, "CERTIFICATE", cert),
		syncDir(root),
	)
	return errors.Join(err, root.Close())
}

// folder makes the keys' folder in the state directory, or opens the one that is
// there. From here on names mean what lies in it, wherever they are moved.
func folder(state *os.Root, name string) (*os.Root, error) {
	if err := state.Mkdir(name, dirMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	info, err := state.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("%s: not a folder", name)
	}
	root, err := state.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	f, err := root.Open(".")
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	if err := errors.Join(root.Chmod(".", dirMode), give(state, f), f.Close()); err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return root, nil
}

// carrier is a self-signed certificate that only carries the key. It holds from
// 1970 to 2999: a machine whose clock is wrong must still reach its server.
func carrier(key *ecdsa.PrivateKey) ([]byte, error) {
	t := x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "latchkey machine"},
		NotBefore:    time.Unix(0, 0).UTC(),
		NotAfter:     time.Date(2999, 12, 31, 23, 59, 59, 0, time.UTC),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	return x509.CreateCertificate(rand.Reader, &t, &t, key.Public(), key)
}

// Open reads the keys of a machine.
func Open(dir string) (*Keys, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("opening keys: %w", err)
	}
	k, err := load(root)
	if err := errors.Join(err, root.Close()); err != nil {
		return nil, fmt.Errorf("opening keys: %w", err)
	}
	return k, nil
}

func load(root *os.Root) (*Keys, error) {
	id, err := readKey[*ecdsa.PrivateKey](root, identityKey)
	if err != nil {
		return nil, err
	}
	if id.Curve != elliptic.P256() {
		return nil, fmt.Errorf("%s: not on P-256", identityKey)
	}
	raw, err := readKey[*ecdsa.PrivateKey](root, sealingKey) // PKCS #8 does not tell the two uses apart
	if err != nil {
		return nil, err
	}
	sealing, err := raw.ECDH()
	if err != nil || sealing.Curve() != ecdh.P256() {
		return nil, fmt.Errorf("%s: not on P-256", sealingKey)
	}
	cert, err := read(root, identityCert, "CERTIFICATE")
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(cert)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", identityCert, err)
	}
	if !id.PublicKey.Equal(leaf.PublicKey) {
		return nil, fmt.Errorf("%s: carries another key", identityCert)
	}
	return &Keys{tls.Certificate{Certificate: [][]byte{cert}, PrivateKey: id, Leaf: leaf}, sealing}, nil
}

func writeKey(state, root *os.Root, name string, key any) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return write(state, root, name, "PRIVATE KEY", der)
}

func readKey[K crypto.PrivateKey](root *os.Root, name string) (K, error) {
	var none K
	der, err := read(root, name, "PRIVATE KEY")
	if err != nil {
		return none, err
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return none, fmt.Errorf("%s: not a private key", name) // the error could repeat what it read
	}
	k, ok := key.(K)
	if !ok {
		return none, fmt.Errorf("%s: a key of another kind", name)
	}
	return k, nil
}

func write(state, root *os.Root, name, kind string, der []byte) error {
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return err
	}
	err = pem.Encode(f, &pem.Block{Type: kind, Bytes: der})
	if err == nil {
		err = give(state, f)
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// read takes plain files only, and keys that nobody else may read.
func read(root *os.Root, name, kind string) ([]byte, error) {
	info, err := root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxSize {
		return nil, fmt.Errorf("%s: not a plain file of at most %d bytes", name, maxSize)
	}
	if err := private(info); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(io.LimitReader(f, maxSize))
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	block, rest := pem.Decode(raw)
	if block == nil || block.Type != kind || len(rest) > 0 {
		return nil, fmt.Errorf("%s: not one PEM block of type %s", name, kind)
	}
	return block.Bytes, nil
}
