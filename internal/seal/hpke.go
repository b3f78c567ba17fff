package seal

import (
	"crypto/ecdh"
	"crypto/hpke"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
)

// encSize is the length of the encapsulated key: an uncompressed P-256 point.
const encSize = 65

// ErrOpen says that a sealed object was not made for this key and this info, or
// was altered. Which of them it was cannot be told apart.
var ErrOpen = errors.New("sealed object does not open with this key")

var errCurve = errors.New("sealing key is not on P-256")

// Seal encrypts to a machine's sealing key: HPKE base mode (RFC 9180) with
// DHKEM(P-256, HKDF-SHA256), HKDF-SHA256, AES-256-GCM. The result is the
// encapsulated key followed by the ciphertext. Base mode does not tell who
// sealed: what must come from the server is signed inside.
func Seal(pub *ecdh.PublicKey, info, aad, plaintext []byte) ([]byte, error) {
	if pub == nil || pub.Curve() != ecdh.P256() {
		return nil, fmt.Errorf("sealing: %w", errCurve)
	}
	key, err := hpke.NewDHKEMPublicKey(pub)
	if err != nil {
		return nil, fmt.Errorf("sealing: %w", err)
	}
	enc, sender, err := hpke.NewSender(key, hpke.HKDFSHA256(), hpke.AES256GCM(), info)
	if err != nil {
		return nil, fmt.Errorf("sealing: %w", err)
	}
	ct, err := sender.Seal(aad, plaintext)
	if err != nil {
		return nil, fmt.Errorf("sealing: %w", err)
	}
	return append(enc, ct...), nil
}

// Open decrypts what Seal made, given the same info and aad. The private key
// may live elsewhere (a TPM): only its ECDH method is called. Errors other than
// ErrOpen are those of the key.
func Open(priv ecdh.KeyExchanger, info, aad, sealed []byte) ([]byte, error) {
	if priv == nil || priv.Curve() != ecdh.P256() {
		return nil, fmt.Errorf("opening: %w", errCurve)
	}
	if len(sealed) < encSize {
		return nil, ErrOpen
	}
	if _, err := ecdh.P256().NewPublicKey(sealed[:encSize]); err != nil {
		return nil, ErrOpen
	}
	key, err := hpke.NewDHKEMPrivateKey(priv)
	if err != nil {
		return nil, fmt.Errorf("opening: %w", err)
	}
	r, err := hpke.NewRecipient(sealed[:encSize:encSize], key, hpke.HKDFSHA256(), hpke.AES256GCM(), info)
	if err != nil {
		return nil, fmt.Errorf("opening: %w", err)
	}
	plain, err := r.Open(aad, sealed[encSize:])
	if err != nil {
		return nil, ErrOpen
	}
	return plain, nil
}

// ParsePublicKey reads a sealing key: the 65 bytes of an uncompressed P-256
// point, as (*ecdh.PublicKey).Bytes writes it. Points off the curve are
// refused.
func ParsePublicKey(raw []byte) (*ecdh.PublicKey, error) {
	pub, err := ecdh.P256().NewPublicKey(raw)
	if err != nil {
		return nil, fmt.Errorf("reading sealing key: %w", err)
	}
	return pub, nil
}

// Thumbprint names a sealing key: the SHA-256 of its uncompressed point, in
// hex.
func Thumbprint(pub *ecdh.PublicKey) string {
	sum := sha256.Sum256(pub.Bytes())
	return hex.EncodeToString(sum[:])
}
