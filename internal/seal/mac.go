package seal

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"

	"latchkey/internal/secret"
)

// MinMACKey is the length in bytes of the shortest key that MAC takes.
const MinMACKey = 16

// MAC returns the HMAC-SHA256 (32 bytes) over the domain and the parts, each
// behind its length: no part can pretend to be two, and no other use's MAC fits
// here. With a key shorter than MinMACKey it returns nil, which VerifyMAC never
// accepts.
func MAC(key secret.Bytes, domain string, parts ...[]byte) []byte {
	if len(key) < MinMACKey {
		return nil
	}
	h := hmac.New(sha256.New, key)
	h.Write(Info(domain))
	var size [4]byte
	for _, p := range parts {
		binary.BigEndian.PutUint32(size[:], uint32(len(p)))
		h.Write(size[:])
		h.Write(p)
	}
	return h.Sum(nil)
}

// VerifyMAC says whether tag is the whole MAC of the domain and the parts, in
// constant time.
func VerifyMAC(key secret.Bytes, tag []byte, domain string, parts ...[]byte) bool {
	want := MAC(key, domain, parts...)
	return len(want) == sha256.Size && hmac.Equal(want, tag)
}
