package api

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"

	"latchkey"
	"latchkey/internal/seal"
)

// TokenSecretSize is the length in bytes of a token's secret: 112 bits, the
// least of NIST SP 800-63B for a secret that is stored under a fast hash.
const TokenSecretSize = seal.MinToken

const (
	tokenPrefix = "lk1_"
	tokenSum    = 4 // bytes of checksum: against typing errors, not against attackers
	maxToken    = 4096
	maxURLs     = 8
)

// An EnrollToken is everything a machine needs to join: where the server is,
// how to know it, and the right to enter.
type EnrollToken struct {
	URLs    []string `json:"urls"`    // of the agent listener, in order of preference
	Pin     string   `json:"pin"`     // SHA-256 of the CA's SubjectPublicKeyInfo, hex
	Secret  string   `json:"secret"`  // base64url, see TokenSecretSize
	Expires int64    `json:"expires"` // Unix seconds
}

// NewToken returns a token and its text.
func NewToken(urls []string, pin, secret []byte, expires time.Time) (EnrollToken, string, error) {
	t := EnrollToken{
		URLs: urls, Pin: hex.EncodeToString(pin),
		Secret: base64.RawURLEncoding.EncodeToString(secret), Expires: expires.Unix(),
	}
	if err := t.check(); err != nil {
		return EnrollToken{}, "", err
	}
	doc, err := json.Marshal(t)
	if err != nil {
		return EnrollToken{}, "", fmt.Errorf("writing token: %w", err)
	}
	return t, tokenPrefix + base64.RawURLEncoding.EncodeToString(append(checksum(doc), doc...)), nil
}

// ParseToken reads the text of a token. Errors say what is wrong with it and
// never repeat it. The caller compares Expires with its clock.
func ParseToken(text string) (EnrollToken, error) {
	text = strings.Join(strings.Fields(text), "") // mail programs break long lines
	body, ok := strings.CutPrefix(text, tokenPrefix)
	switch {
	case !ok && strings.Contains(text, tokenPrefix):
		return EnrollToken{}, latchkey.Errorf(latchkey.Invalid, "there is something before the token: it begins with %s", tokenPrefix)
	case !ok:
		return EnrollToken{}, latchkey.Errorf(latchkey.Invalid, "this is no enrollment token: it would begin with %s", tokenPrefix)
	case len(text) > maxToken:
		return EnrollToken{}, latchkey.Errorf(latchkey.Invalid, "this is no enrollment token: it is too long")
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(body)
	if err != nil || len(raw) <= tokenSum || string(checksum(raw[tokenSum:])) != string(raw[:tokenSum]) {
		return EnrollToken{}, damaged(raw, err)
	}
	var t EnrollToken
	if err := seal.DecodeStrict(raw[tokenSum:], &t); err != nil {
		return EnrollToken{}, latchkey.Errorf(latchkey.Invalid, "the token is of a form that this version does not know")
	}
	return t, t.check()
}

// damaged tells a token that was cut off from one that was altered: the JSON
// inside ends with a brace.
func damaged(raw []byte, err error) error {
	if err == nil && strings.HasSuffix(string(raw), "}") {
		return latchkey.Errorf(latchkey.Invalid, "the token was altered: a character of it is wrong").WithHint("copy it again")
	}
	return latchkey.Errorf(latchkey.Invalid, "the token is cut off or altered").WithHint("copy all of it, in one piece")
}

func checksum(doc []byte) []byte {
	sum := sha256.Sum256(seal.Info("latchkey/enroll-token/1", string(doc)))
	return sum[:tokenSum]
}

func (t EnrollToken) check() error {
	pin, err := hex.DecodeString(t.Pin)
	if err != nil || len(pin) != sha256.Size {
		return latchkey.Errorf(latchkey.Invalid, "the token's pin is not one of a server")
	}
	secret, err := base64.RawURLEncoding.Strict().DecodeString(t.Secret)
	if err != nil || len(secret) < TokenSecretSize || len(secret) > seal.MaxToken {
		return latchkey.Errorf(latchkey.Invalid, "the token's secret is not one")
	}
	if len(t.URLs) == 0 || len(t.URLs) > maxURLs {
		return latchkey.Errorf(latchkey.Invalid, "the token names no server, or too many")
	}
	for _, u := range t.URLs {
		if p, err := url.Parse(u); err != nil || p.Scheme != "https" || p.Host == "" || p.User != nil || p.RawQuery != "" || p.Fragment != "" {
			return latchkey.Errorf(latchkey.Invalid, "the token names a server by something other than an https address")
		}
	}
	return nil
}

// PinBytes is the pin as the SHA-256 that it is.
func (t EnrollToken) PinBytes() []byte {
	pin, err := hex.DecodeString(t.Pin)
	if err != nil {
		return nil
	}
	return pin
}

// ExpiresAt is when the token is worth nothing any more.
func (t EnrollToken) ExpiresAt() time.Time { return time.Unix(t.Expires, 0).UTC() }
