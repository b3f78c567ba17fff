package bundle

import (
	"crypto/ecdh"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"latchkey"
	"latchkey/internal/seal"
	"latchkey/internal/secret"
)

// ErrForeign: a header that was signed by this deployment for someone else.
var ErrForeign = errors.New("the bundle is another machine's or user's")

// SealHeader signs h and seals it to the machine's key. Machine, user and
// version are bound into the seal, so that no two headers can be swapped.
func SealHeader(h Header, priv ed25519.PrivateKey, to *ecdh.PublicKey) ([]byte, error) {
	h.Key = seal.Thumbprint(to)
	doc, err := json.Marshal(h)
	if err != nil {
		return nil, fmt.Errorf("writing bundle header: %w", err)
	}
	signed, err := seal.Sign(priv, PayloadType, doc)
	if err != nil {
		return nil, fmt.Errorf("signing bundle header: %w", err)
	}
	return seal.Seal(to, headerInfo(h.Deployment, h.Machine, h.User, h.Version), nil, signed)
}

// OpenHeader opens, verifies and decodes a header. Errors: seal's, and
// ErrForeign.
func OpenHeader(sealed []byte, priv ecdh.KeyExchanger, keys seal.KeySet, deployment string, m latchkey.MachineID, u latchkey.UserID, version uint64) (Header, error) {
	signed, err := seal.Open(priv, headerInfo(deployment, m, u, version), nil, sealed)
	if err != nil {
		return Header{}, fmt.Errorf("opening bundle header: %w", err)
	}
	doc, _, err := seal.Verify(signed, PayloadType, keys)
	if err != nil {
		return Header{}, fmt.Errorf("verifying bundle header: %w", err)
	}
	var h Header
	if err := seal.DecodeStrict(doc, &h); err != nil {
		return Header{}, fmt.Errorf("reading bundle header: %w", err)
	}
	if h.Deployment != deployment || h.Machine != m || h.User != u || h.Version != version {
		return Header{}, ErrForeign
	}
	return h, nil
}

// SealChunk seals codes to the machine's key. The chunk's digest stands in the
// signed header, so the chunk needs no signature of its own.
func SealChunk(h Header, r Raw, to *ecdh.PublicKey) ([]byte, error) {
	return seal.Seal(to, chunkInfo(h.Deployment, h.Machine, h.User, r.SHA256), nil, r.Codes)
}

// OpenChunk opens codes. The caller compares them with the header's digest
// (Open does).
func OpenChunk(sealed []byte, priv ecdh.KeyExchanger, deployment string, m latchkey.MachineID, u latchkey.UserID, sha256 string) (secret.Bytes, error) {
	return seal.Open(priv, chunkInfo(deployment, m, u, sha256), nil, sealed)
}

func headerInfo(deployment string, m latchkey.MachineID, u latchkey.UserID, version uint64) []byte {
	return seal.Info("latchkey/bundle/1", deployment, string(m), string(u), strconv.FormatUint(version, 10))
}

func chunkInfo(deployment string, m latchkey.MachineID, u latchkey.UserID, sha256 string) []byte {
	return seal.Info("latchkey/chunk/1", deployment, string(m), string(u), sha256)
}
