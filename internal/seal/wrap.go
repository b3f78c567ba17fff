package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"latchkey/internal/secret"
)

// MasterKeySize is the length in bytes of the key under a Wrapper.
const MasterKeySize = 32

// wrapFormat is the first byte of every wrapped row: the next way of wrapping
// can be told from this one.
const wrapFormat = 1

// ErrUnwrap says that a row was wrapped under another key, for another row, or
// was altered.
var ErrUnwrap = errors.New("row does not unwrap: another master key, another row, or altered")

// A Wrapper encrypts secrets for storage under the master key: AES-256-GCM,
// bound to the row that holds them, so that a writer to the database cannot
// move one user's seed to another. With random nonces one master key is good
// for 2^32 rows (NIST SP 800-38D 8.3). It is safe for concurrent use.
type Wrapper struct {
	aead cipher.AEAD
	id   string
}

// ID names the key, and says nothing about it: the first 8 bytes of a SHA-256.
func (w *Wrapper) ID() string { return w.id }

// NewWrapper returns a Wrapper under a key of MasterKeySize bytes.
func NewWrapper(key secret.Bytes) (*Wrapper, error) {
	if len(key) != MasterKeySize {
		return nil, fmt.Errorf("master key has %d bytes instead of %d", len(key), MasterKeySize)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("master key: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("master key: %w", err)
	}
	sum := sha256.New()
	sum.Write(Info("latchkey/master/1"))
	sum.Write(key)
	return &Wrapper{aead, hex.EncodeToString(sum.Sum(nil)[:8])}, nil
}

// Wrap encrypts a secret for the row named rowID (table and key, for example
// "credentials/7"): a format byte, the nonce read from rand, the ciphertext.
func (w *Wrapper) Wrap(rand io.Reader, rowID string, plain secret.Bytes) ([]byte, error) {
	if rowID == "" {
		return nil, errors.New("wrapping: no row id")
	}
	head := 1 + w.aead.NonceSize()
	out := make([]byte, head, head+len(plain)+w.aead.Overhead())
	out[0] = wrapFormat
	if _, err := io.ReadFull(rand, out[1:]); err != nil {
		return nil, fmt.Errorf("wrapping: reading randomness: %w", err)
	}
	return w.aead.Seal(out, out[1:head], plain, wrapData(rowID)), nil
}

// Unwrap returns the secret of the row named rowID, or ErrUnwrap.
func (w *Wrapper) Unwrap(rowID string, wrapped []byte) (secret.Bytes, error) {
	head := 1 + w.aead.NonceSize()
	if len(wrapped) < head || wrapped[0] != wrapFormat {
		return nil, ErrUnwrap
	}
	plain, err := w.aead.Open(nil, wrapped[1:head], wrapped[head:], wrapData(rowID))
	if err != nil {
		return nil, ErrUnwrap
	}
	return plain, nil
}

func wrapData(rowID string) []byte { return Info("latchkey/wrap/1", rowID) }
