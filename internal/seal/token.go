package seal

import (
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"io"
)

// Tokens have at least 112 bits (NIST SP 800-63B 4.1.2.2 for codes without a
// user name, 3.1.2 for secrets stored under a fast hash).
const (
	MinToken = 14 // bytes
	MaxToken = 64 // bytes
)

// crockford is base32 in lower case without i, l, o, u: a double click selects
// the whole token, and no token begins with the dash of a flag.
var crockford = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// Token returns size random bytes in Crockford's base32, for API, enrolment and
// session tokens. Store its HashToken, never the token.
func Token(rand io.Reader, size int) (string, error) {
	if size < MinToken || size > MaxToken {
		return "", errors.New("token must have 14 to 64 bytes")
	}
	raw := make([]byte, size)
	if _, err := io.ReadFull(rand, raw); err != nil {
		return "", fmt.Errorf("making token: reading randomness: %w", err)
	}
	return crockford.EncodeToString(raw), nil
}

// HashToken returns what is stored of a token and looked up by: SHA-256 with a
// domain. A fast hash suffices because a token is random in all its bits; it is
// no hash for passwords or codes.
func HashToken(token string) []byte {
	sum := sha256.Sum256(Info("latchkey/token/1", token))
	return sum[:]
}
