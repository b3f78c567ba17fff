package seal

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

// Why a signed object is refused. Every error of Verify is one of these, under
// some detail.
var (
	ErrMalformed  = errors.New("not a signed object")
	ErrType       = errors.New("signed object has another type")
	ErrUnknownKey = errors.New("signed by an unknown key")
	ErrSignature  = errors.New("signature is wrong")
)

// An Envelope is a signed object on the wire: DSSE version 1
// (github.com/secure-systems-lab/dsse), here with exactly one signature.
type Envelope struct {
	PayloadType string      `json:"payloadType"`
	Payload     []byte      `json:"payload"`
	Signatures  []Signature `json:"signatures"`
}

// A Signature is over PAE(payloadType, payload). KeyID only selects the key.
type Signature struct {
	KeyID string `json:"keyid"`
	Sig   []byte `json:"sig"`
}

// Sign returns the envelope of a payload as JSON. It fails when the type is
// empty, the key is no key, or the result would exceed MaxSize.
func Sign(priv ed25519.PrivateKey, payloadType string, payload []byte) ([]byte, error) {
	if len(priv) != ed25519.PrivateKeySize {
		return nil, errors.New("signing: not an Ed25519 private key")
	}
	if payloadType == "" {
		return nil, errors.New("signing: no payload type")
	}
	pub := priv.Public().(ed25519.PublicKey)
	raw, err := json.Marshal(Envelope{
		PayloadType: payloadType,
		Payload:     append([]byte{}, payload...), // nil would be written as null
		Signatures:  []Signature{{KeyID: KeyID(pub), Sig: ed25519.Sign(priv, pae(payloadType, payload))}},
	})
	if err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	if len(raw) > MaxSize {
		return nil, fmt.Errorf("signing %d bytes: the most is %d", len(raw), MaxSize)
	}
	return raw, nil
}

// Verify returns the payload of a signed object of the given type, and the id
// of the key that signed it. Nothing of the payload is returned before the
// signature holds, and the caller decodes it only then. The envelope must be
// the very bytes that Sign writes: one signature, one spelling.
//
// Errors: ErrMalformed, ErrType, ErrUnknownKey, ErrSignature.
func Verify(raw []byte, payloadType string, keys KeySet) (payload []byte, keyID string, err error) {
	e, err := parseEnvelope(raw)
	if err != nil {
		return nil, "", err
	}
	if payloadType == "" || e.PayloadType != payloadType {
		return nil, "", fmt.Errorf("%w: %.64q instead of %q", ErrType, e.PayloadType, payloadType)
	}
	s := e.Signatures[0]
	pub, ok := keys.Key(s.KeyID)
	if !ok {
		return nil, "", fmt.Errorf("%w %.32q", ErrUnknownKey, s.KeyID)
	}
	if !ed25519.Verify(pub, pae(payloadType, e.Payload), s.Sig) {
		return nil, "", ErrSignature
	}
	return e.Payload, s.KeyID, nil
}

// parseEnvelope insists on the spelling of Sign. Base64 in particular has
// several for the same bytes, and a signature that can be respelt is no name
// for what it signs.
func parseEnvelope(raw []byte) (Envelope, error) {
	var e Envelope
	if err := DecodeStrict(raw, &e); err != nil {
		return Envelope{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if len(e.Signatures) != 1 {
		return Envelope{}, fmt.Errorf("%w: %d signatures instead of one", ErrMalformed, len(e.Signatures))
	}
	if again, err := json.Marshal(e); err != nil || !bytes.Equal(again, raw) {
		return Envelope{}, fmt.Errorf("%w: not in canonical form", ErrMalformed)
	}
	return e, nil
}

// pae is the pre-authentication encoding of DSSE: with the lengths in it, no
// other pair of type and payload gives the same bytes.
func pae(payloadType string, payload []byte) []byte {
	out := make([]byte, 0, len(payloadType)+len(payload)+32)
	out = append(out, "DSSEv1 "...)
	out = strconv.AppendInt(out, int64(len(payloadType)), 10)
	out = append(out, ' ')
	out = append(out, payloadType...)
	out = append(out, ' ')
	out = strconv.AppendInt(out, int64(len(payload)), 10)
	out = append(out, ' ')
	return append(out, payload...)
}
