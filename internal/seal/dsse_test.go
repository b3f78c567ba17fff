package seal_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"latchkey/internal/seal"
)

const verdictType = "application/vnd.latchkey.verdict+json"

// signer returns a key pair made from one byte; the tests need no secrets.
func signer(b byte) (ed25519.PrivateKey, ed25519.PublicKey) {
	priv := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{b}, ed25519.SeedSize))
	return priv, priv.Public().(ed25519.PublicKey)
}

func keySet(t testing.TB, pubs ...ed25519.PublicKey) seal.KeySet {
	t.Helper()
	set, err := seal.NewKeySet(pubs...)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func signed(t testing.TB, priv ed25519.PrivateKey, payload string) []byte {
	t.Helper()
	raw, err := seal.Sign(priv, verdictType, []byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestASignedObjectComesBackWithItsKey(t *testing.T) {
	t.Parallel()
	old, oldPub := signer(1)
	next, nextPub := signer(2)
	set := keySet(t, oldPub, nextPub)
	for _, payload := range []string{`{"outcome":"allow"}`, "", "\x00<&>\xff"} {
		for _, priv := range []ed25519.PrivateKey{old, next} {
			got, id, err := seal.Verify(signed(t, priv, payload), verdictType, set)
			if err != nil || string(got) != payload {
				t.Errorf("got %q, %v", got, err)
			}
			if want := seal.KeyID(priv.Public().(ed25519.PublicKey)); id != want || len(id) != 16 {
				t.Errorf("key id %q, want %q", id, want)
			}
		}
	}
}

// The test vector of the DSSE specification is ECDSA; its PAE is checked here
// through an Ed25519 signature over the very bytes it prints.
func TestTheSignatureIsOverThePAEOfTheDSSESpecification(t *testing.T) {
	t.Parallel()
	priv, _ := signer(1)
	raw, err := seal.Sign(priv, "http://example.com/HelloWorld", []byte("hello world"))
	if err != nil {
		t.Fatal(err)
	}
	pae := "DSSEv1 29 http://example.com/HelloWorld 11 hello world"
	sig := base64.StdEncoding.EncodeToString(ed25519.Sign(priv, []byte(pae)))
	want := `{"payload":"aGVsbG8gd29ybGQ=","payloadType":"http://example.com/HelloWorld","signatures":[{"keyid":"34750f98bd59fcfc","sig":"` + sig + `"}]}`
	var got, wanted any
	if json.Unmarshal(raw, &got) != nil || json.Unmarshal([]byte(want), &wanted) != nil || fmt.Sprint(got) != fmt.Sprint(wanted) {
		t.Errorf("got  %s\nwant %s", raw, want)
	}
}

func TestASignedObjectIsRefused(t *testing.T) {
	t.Parallel()
	priv, pub := signer(1)
	other, otherPub := signer(2)
	set := keySet(t, pub)
	good := signed(t, priv, `{"outcome":"deny"}`)
	edit := func(f func(*seal.Envelope)) []byte {
		var e seal.Envelope
		if err := json.Unmarshal(good, &e); err != nil {
			t.Fatal(err)
		}
		f(&e)
		raw, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	for name, tc := range map[string]struct {
		raw  []byte
		typ  string
		keys seal.KeySet
		want error
	}{
		"when its type is another":                  {good, "application/vnd.latchkey.bundle+json", set, seal.ErrType},
		"when no type is asked for":                 {edit(func(e *seal.Envelope) { e.PayloadType = "" }), "", set, seal.ErrType},
		"when its type was rewritten":               {edit(func(e *seal.Envelope) { e.PayloadType = "x" }), "x", set, seal.ErrSignature},
		"when its type differs in case":             {edit(func(e *seal.Envelope) { e.PayloadType = strings.ToUpper(e.PayloadType) }), verdictType, set, seal.ErrType},
		"when the set is empty":                     {good, verdictType, seal.KeySet{}, seal.ErrUnknownKey},
		"when only another key is trusted":          {good, verdictType, keySet(t, otherPub), seal.ErrUnknownKey},
		"when another key signed":                   {signed(t, other, `{}`), verdictType, set, seal.ErrUnknownKey},
		"when another key signed in the known name": {edit(func(e *seal.Envelope) { e.Signatures[0].Sig = ed25519.Sign(other, []byte("x")) }), verdictType, set, seal.ErrSignature},
		"when the signature covers the bare payload": {
			edit(func(e *seal.Envelope) { e.Signatures[0].Sig = ed25519.Sign(priv, e.Payload) }), verdictType, set, seal.ErrSignature,
		},
		"when its payload was changed":         {edit(func(e *seal.Envelope) { e.Payload = []byte(`{"outcome":"allow"}`) }), verdictType, set, seal.ErrSignature},
		"when it has no key id":                {edit(func(e *seal.Envelope) { e.Signatures[0].KeyID = "" }), verdictType, set, seal.ErrUnknownKey},
		"when its signature is empty":          {edit(func(e *seal.Envelope) { e.Signatures[0].Sig = []byte{} }), verdictType, set, seal.ErrSignature},
		"when its signature is too long":       {edit(func(e *seal.Envelope) { e.Signatures[0].Sig = append(e.Signatures[0].Sig, 0) }), verdictType, set, seal.ErrSignature},
		"when it has no signature":             {edit(func(e *seal.Envelope) { e.Signatures = []seal.Signature{} }), verdictType, set, seal.ErrMalformed},
		"when its signatures are null":         {edit(func(e *seal.Envelope) { e.Signatures = nil }), verdictType, set, seal.ErrMalformed},
		"when it has a second signature":       {edit(func(e *seal.Envelope) { e.Signatures = append(e.Signatures, e.Signatures[0]) }), verdictType, set, seal.ErrMalformed},
		"when a key is unknown":                {bytes.Replace(good, []byte(`{`), []byte(`{"x":1,`), 1), verdictType, set, seal.ErrMalformed},
		"when a key occurs twice":              {bytes.Replace(good, []byte(`{`), []byte(`{"payloadType":"`+verdictType+`",`), 1), verdictType, set, seal.ErrMalformed},
		"when a key has another case":          {bytes.Replace(good, []byte(`payloadType`), []byte(`payloadtype`), 1), verdictType, set, seal.ErrMalformed},
		"when something follows":               {append(slices.Clone(good), '\n'), verdictType, set, seal.ErrMalformed},
		"when it is spelt with spaces":         {bytes.Replace(good, []byte(`:`), []byte(`: `), 1), verdictType, set, seal.ErrMalformed},
		"when its base64 holds a line break":   {bytes.Replace(good, []byte(`"payload":"`), []byte(`"payload":"\n`), 1), verdictType, set, seal.ErrMalformed},
		"when it is empty":                     {nil, verdictType, set, seal.ErrMalformed},
		"when it is too large":                 {bytes.Repeat([]byte(" "), seal.MaxSize+1), verdictType, set, seal.ErrMalformed},
		"when it is nothing like an envelope":  {[]byte(`[]`), verdictType, set, seal.ErrMalformed},
		"when it is null":                      {[]byte(`null`), verdictType, set, seal.ErrMalformed},
		"when its base64 is for web addresses": {bytes.Replace(signed(t, priv, "\xff\xff\xfe"), []byte("///+"), []byte("___-"), 1), verdictType, set, seal.ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			payload, id, err := seal.Verify(tc.raw, tc.typ, tc.keys)
			if !errors.Is(err, tc.want) {
				t.Errorf("error %v, want %v", err, tc.want)
			}
			if payload != nil || id != "" {
				t.Errorf("returned %q by %q all the same", payload, id)
			}
		})
	}
}

func TestAnyAlteredByteOfASignedObjectIsNoticed(t *testing.T) {
	t.Parallel()
	priv, pub := signer(1)
	set, raw := keySet(t, pub), signed(t, priv, `{"outcome":"deny"}`)
	for i := range raw {
		for _, flip := range []byte{0x01, 0x02, 0x04, 0x20, 0x80} {
			altered := slices.Clone(raw)
			altered[i] ^= flip
			if _, _, err := seal.Verify(altered, verdictType, set); err == nil {
				t.Fatalf("byte %d altered unnoticed: %s", i, altered)
			}
		}
		if _, _, err := seal.Verify(raw[:i], verdictType, set); err == nil {
			t.Fatalf("cut at %d unnoticed", i)
		}
	}
}

func TestWhatCannotBeVerifiedIsNotSigned(t *testing.T) {
	t.Parallel()
	priv, pub := signer(1)
	if _, err := seal.Sign(priv, "", nil); err == nil {
		t.Error("signed without a type")
	}
	if _, err := seal.Sign(priv[:10], "x", nil); err == nil {
		t.Error("signed with part of a key")
	}
	if raw, err := seal.Sign(priv, "x", nil); err != nil || !bytes.Contains(raw, []byte(`"payload":""`)) {
		t.Errorf("an empty payload became %s, %v", raw, err)
	}
	if _, err := seal.Sign(priv, "x", make([]byte, seal.MaxSize)); err == nil {
		t.Error("signed more than Verify reads")
	}
	most := make([]byte, (seal.MaxSize-300)/4*3)
	raw, err := seal.Sign(priv, "x", most)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := seal.Verify(raw, "x", keySet(t, pub)); err != nil {
		t.Error(err)
	}
}

func TestAKeySetDoesNotChange(t *testing.T) {
	t.Parallel()
	_, a := signer(1)
	_, b := signer(2)
	one := keySet(t, a, a)
	two, err := one.With(b)
	if err != nil {
		t.Fatal(err)
	}
	if len(one.IDs()) != 1 || len(two.IDs()) != 2 || !slices.IsSorted(two.IDs()) {
		t.Errorf("sets %v and %v", one.IDs(), two.IDs())
	}
	id := seal.KeyID(a)
	a[0] ^= 1 // the caller's slice is not the set's
	if pub, ok := one.Key(id); !ok || seal.KeyID(pub) != id {
		t.Error("the set changed with the slice it was made from")
	}
	if _, err := seal.NewKeySet(b[:31]); err == nil {
		t.Error("took part of a key")
	}
	if _, err := hex.DecodeString(id); err != nil || len(id) != 16 {
		t.Errorf("key id %q", id)
	}
}

func FuzzVerify(f *testing.F) {
	priv, pub := signer(1)
	set := keySet(f, pub)
	good := signed(f, priv, `{"outcome":"deny"}`)
	f.Add(good)
	f.Add(bytes.ToUpper(good))
	f.Add([]byte(`{"payloadType":"` + verdictType + `","payload":"","signatures":[]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		payload, _, err := seal.Verify(raw, verdictType, set)
		if err == nil && !bytes.Equal(raw, good) {
			t.Fatalf("forged: %s", raw)
		}
		if err != nil && payload != nil {
			t.Fatalf("returned a payload with %v", err)
		}
	})
}
