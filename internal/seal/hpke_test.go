package seal_test

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"

	"latchkey/internal/seal"
)

func sealingKey(t testing.TB) *ecdh.PrivateKey {
	t.Helper()
	priv, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return priv
}

// A farKey does its ECDH elsewhere, as a TPM does: it has no private bytes.
type farKey struct {
	near *ecdh.PrivateKey
	fail error
}

func (k farKey) PublicKey() *ecdh.PublicKey { return k.near.PublicKey() }
func (k farKey) Curve() ecdh.Curve          { return ecdh.P256() }
func (k farKey) ECDH(p *ecdh.PublicKey) ([]byte, error) {
	if k.fail != nil {
		return nil, k.fail
	}
	return k.near.ECDH(p)
}

func TestASealedObjectOpensForItsMachineOnly(t *testing.T) {
	t.Parallel()
	mine, other := sealingKey(t), sealingKey(t)
	info := seal.Info("latchkey/bundle/1", "acme", "pc-17", "ana", "42")
	aad, plain := []byte("header"), []byte("20160 codes")
	sealed, err := seal.Seal(mine.PublicKey(), info, aad, plain)
	if err != nil {
		t.Fatal(err)
	}
	if len(sealed) != 65+len(plain)+16 || bytes.Contains(sealed, plain) {
		t.Fatalf("sealed to %d bytes", len(sealed))
	}
	for name, key := range map[string]ecdh.KeyExchanger{"key in a file": mine, "key elsewhere": farKey{near: mine}} {
		if got, err := seal.Open(key, info, aad, sealed); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	for name, open := range map[string]func() ([]byte, error){
		"another key": func() ([]byte, error) { return seal.Open(other, info, aad, sealed) },
		"info of another user": func() ([]byte, error) {
			return seal.Open(mine, seal.Info("latchkey/bundle/1", "acme", "pc-17", "bob", "42"), aad, sealed)
		},
		"info of other machine": func() ([]byte, error) {
			return seal.Open(mine, seal.Info("latchkey/bundle/1", "acme", "pc-18", "ana", "42"), aad, sealed)
		},
		"info of other version": func() ([]byte, error) {
			return seal.Open(mine, seal.Info("latchkey/bundle/1", "acme", "pc-17", "ana", "41"), aad, sealed)
		},
		"no info":              func() ([]byte, error) { return seal.Open(mine, nil, aad, sealed) },
		"other data beside it": func() ([]byte, error) { return seal.Open(mine, info, []byte("Header"), sealed) },
		"no data beside it":    func() ([]byte, error) { return seal.Open(mine, info, nil, sealed) },
		"the two swapped":      func() ([]byte, error) { return seal.Open(mine, aad, info, sealed) },
		"a byte too many":      func() ([]byte, error) { return seal.Open(mine, info, aad, append(slices.Clone(sealed), 0)) },
		"nothing":              func() ([]byte, error) { return seal.Open(mine, info, aad, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got, err := open(); !errors.Is(err, seal.ErrOpen) || got != nil {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

func TestAnyAlteredByteOfASealedObjectIsNoticed(t *testing.T) {
	t.Parallel()
	key := sealingKey(t)
	sealed, err := seal.Seal(key.PublicKey(), []byte("i"), nil, []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range sealed {
		altered := slices.Clone(sealed)
		altered[i] ^= 1
		if got, err := seal.Open(key, []byte("i"), nil, altered); !errors.Is(err, seal.ErrOpen) || got != nil {
			t.Errorf("byte %d altered: %q, %v", i, got, err)
		}
		if _, err := seal.Open(key, []byte("i"), nil, sealed[:i]); !errors.Is(err, seal.ErrOpen) {
			t.Errorf("cut at %d: %v", i, err)
		}
	}
}

func TestTwoSealsOfTheSameAreNotTheSame(t *testing.T) {
	t.Parallel()
	key := sealingKey(t)
	a, errA := seal.Seal(key.PublicKey(), nil, nil, []byte("x"))
	b, errB := seal.Seal(key.PublicKey(), nil, nil, []byte("x"))
	if errA != nil || errB != nil || bytes.Equal(a, b) {
		t.Errorf("%x, %v and %x, %v", a, errA, b, errB)
	}
}

func TestOnlyKeysOnP256Seal(t *testing.T) {
	t.Parallel()
	x, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := seal.Seal(x.PublicKey(), nil, nil, nil); err == nil {
		t.Error("sealed to X25519")
	}
	if _, err := seal.Seal(nil, nil, nil, nil); err == nil {
		t.Error("sealed to nobody")
	}
	if _, err := seal.Open(x, nil, nil, make([]byte, 100)); err == nil || errors.Is(err, seal.ErrOpen) {
		t.Errorf("opened with X25519: %v", err)
	}
	if _, err := seal.Open(nil, nil, nil, make([]byte, 100)); err == nil {
		t.Error("opened with nothing")
	}
}

func TestAKeyThatFailsIsToldFromAnObjectThatDoesNotOpen(t *testing.T) {
	t.Parallel()
	near, broken := sealingKey(t), errors.New("tpm: busy")
	sealed, err := seal.Seal(near.PublicKey(), nil, nil, []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := seal.Open(farKey{near, broken}, nil, nil, sealed); !errors.Is(err, broken) || errors.Is(err, seal.ErrOpen) {
		t.Errorf("error %v", err)
	}
}

func TestASealingKeyIsReadAsAPointOnP256(t *testing.T) {
	t.Parallel()
	pub := sealingKey(t).PublicKey()
	got, err := seal.ParsePublicKey(pub.Bytes())
	if err != nil || !got.Equal(pub) {
		t.Fatalf("%v", err)
	}
	sum := sha256.Sum256(pub.Bytes())
	if seal.Thumbprint(pub) != hex.EncodeToString(sum[:]) {
		t.Errorf("thumbprint %s", seal.Thumbprint(pub))
	}
	off := pub.Bytes()
	off[64] ^= 1
	for name, raw := range map[string][]byte{"nothing": nil, "infinity": {0}, "a point off the curve": off, "a cut point": off[:64], "all zero": make([]byte, 65)} {
		if _, err := seal.ParsePublicKey(raw); err == nil {
			t.Errorf("%s was taken for a key", name)
		}
	}
}

// The suite is pinned by the CFRG's test vector for it (mode 0, KEM 0x0010, KDF
// 0x0001, AEAD 0x0002, encryption 0). Seal is pinned through Open.
func TestOpenIsHPKEBaseModeOfRFC9180(t *testing.T) {
	t.Parallel()
	priv, err := ecdh.P256().NewPrivateKey(unhex(t, "317f915db7bc629c48fe765587897e01e282d3e8445f79f27f65d031a88082b2"))
	if err != nil {
		t.Fatal(err)
	}
	const (
		enc = "04c06b4f6bebc7bb495cb797ab753f911aff80aefb86fd8b6fcc35525f3ab5f03e0b21bd31a86c6048af3cb2d98e0d3bf01da5cc4c39ff5370d331a4f1f7d5a4e0"
		ct  = "58c61a45059d0c5704560e9d88b564a8b63f1364b8d1fcb3c4c6ddc1d291742465e902cd216f8908da49f8f96f"
	)
	got, err := seal.Open(priv, []byte("Ode on a Grecian Urn"), []byte("Count-0"), unhex(t, enc+ct))
	if err != nil || string(got) != "Beauty is truth, truth beauty" {
		t.Errorf("got %q, %v", got, err)
	}
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestInfoOfDifferentPartsIsDifferent(t *testing.T) {
	t.Parallel()
	if got := seal.Info("ab", "", "ü"); string(got) != "\x00\x00\x00\x02ab\x00\x00\x00\x00\x00\x00\x00\x02\xc3\xbc" {
		t.Errorf("got %q", got)
	}
	seen := map[string][]string{}
	for _, parts := range [][]string{
		nil, {""}, {"", ""}, {"ab"}, {"a", "b"}, {"", "ab"}, {"ab", ""}, {"b", "a"},
		{"a\x00\x00\x00\x01b"}, {"a", "\x00\x00\x00\x01b"}, {strings.Repeat("a", 256)},
	} {
		got := string(seal.Info(parts...))
		if same, ok := seen[got]; ok {
			t.Errorf("%q and %q give the same", parts, same)
		}
		seen[got] = parts
	}
}
