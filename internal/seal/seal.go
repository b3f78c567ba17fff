// Package seal signs, encrypts and authenticates what leaves a process: signed
// objects (DSSE), objects sealed to one machine (HPKE), rows wrapped under the
// master key, state under a MAC, and API tokens. It invents no cryptography:
// Ed25519, RFC 9180, AES-256-GCM and HMAC-SHA256 come from the standard
// library. It refuses whatever has more than one spelling: every joined field
// carries its length, every JSON document is decoded strictly, and whatever it
// cannot verify it does not return.
package seal

import "encoding/binary"

// MaxSize is the size in bytes of the largest document that is parsed here.
const MaxSize = 1 << 20

// Info joins the parts, each behind its length in bytes (u32, big-endian), for
// the info of HPKE or the associated data of an AEAD. Different lists of parts
// never give the same bytes. By convention the first part names the use.
func Info(parts ...string) []byte {
	var out []byte
	for _, p := range parts {
		out = binary.BigEndian.AppendUint32(out, uint32(len(p)))
		out = append(out, p...)
	}
	return out
}
