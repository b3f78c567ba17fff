package bugreport

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"regexp"
	"strings"
	"unicode"
)

// What stands in place of what was taken out.
const (
	hidden = "[secret]"
	digits = "[digits]"
)

// A Scrub replaces what must not leave the machine.
type Scrub struct {
	key   []byte // of the pseudonyms
	keep  bool
	known map[string]string // name in lower case to kind
}

func newScrub(random io.Reader, keep bool) (*Scrub, error) {
	s := &Scrub{key: make([]byte, 32), keep: keep, known: map[string]string{}}
	if _, err := io.ReadFull(random, s.key); err != nil {
		return nil, fmt.Errorf("making pseudonyms: %w", err)
	}
	return s, nil
}

// Know tells of names that may stand anywhere, of a kind such as "user".
func (s *Scrub) Know(kind string, names ...string) {
	for _, n := range names {
		n = strings.ToLower(strings.TrimSpace(n))
		for _, form := range []string{n, strings.TrimFunc(n, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsNumber(r) })} {
			if _, there := s.known[form]; form != "" && !there && !harmless[form] {
				s.known[form] = kind
			}
		}
	}
}

// harmless are names that tell nothing and whose replacement would make a
// report unreadable.
var harmless = map[string]bool{
	"root": true, "localhost": true, "default": true, "server": true, "console": true, "127.0.0.1": true, "::1": true, "latchkey": true,
	"latchkey-agent": true, "builtin": true, "all": true,
}

// Name is the pseudonym of a name.
func (s *Scrub) Name(kind, name string) string {
	folded := strings.ToLower(strings.TrimSpace(name))
	if s.keep || folded == "" || harmless[folded] {
		return s.secrets(name)
	}
	if k, ok := s.known[folded]; ok {
		kind = k // one name, one pseudonym, wherever it stands
	}
	m := hmac.New(sha256.New, s.key)
	fmt.Fprintf(m, "%d:%s%s", len(kind), kind, folded)
	return kind + "-" + hex.EncodeToString(m.Sum(nil)[:4])
}

// Text looks through a text.
func (s *Scrub) Text(text string) string {
	text = s.secrets(text)
	if s.keep {
		return text
	}
	return s.names(text)
}

var (
	pem      = regexp.MustCompile(`(?s)-----BEGIN [A-Z ]+-----.*?(-----END [A-Z ]+-----|$)`)
	address  = regexp.MustCompile(`(?i)\b(otpauth|postgres|postgresql|mysql|ldaps?)://[^\s"']+`)
	userinfo = regexp.MustCompile(`(?i)\b(https?://)[^/\s"'@]+@`)
	marked   = regexp.MustCompile(`\b(lka|lke|lkt|lkc)_[A-Za-z0-9_-]+`)
	setting  = regexp.MustCompile(`(?i)\b([a-z_-]*(?:pass|passwd|password|secret|token|seed|bindpw|apikey|private)[a-z_-]*)(\s*[=:]\s*)("[^"]*"?|'[^']*'?|[^\s",}]+)`)
	bearer   = regexp.MustCompile(`(?i)\b(bearer|basic)\s+\S+`)
	long     = regexp.MustCompile(`[A-Za-z0-9+/_=-]{12,}`)
	code     = regexp.MustCompile(`\b\d{6,10}\b|\b\d{3}[ -]\d{3}\b|\b\d{4}[ -]\d{4}\b`)
	run      = regexp.MustCompile(`\b\d{1,3}\.\d+(?:[nµm]?s|Z)\b|\d+`) // also within a word; but parts of a second are no code
	bytesOf  = regexp.MustCompile(`\[\d{1,3}(?:[ ,]+\d{1,3}){7,}\]`)   // a key that was printed as numbers
)

// secrets replaces what is, or could be, a secret.
func (s *Scrub) secrets(text string) string {
	text = pem.ReplaceAllString(text, hidden)
	text = address.ReplaceAllString(text, "$1://"+hidden)
	text = userinfo.ReplaceAllString(text, "$1"+hidden+"@")
	text = marked.ReplaceAllString(text, hidden)
	text = bearer.ReplaceAllString(text, "$1 "+hidden)
	text = setting.ReplaceAllString(text, "$1$2"+hidden)
	text = bytesOf.ReplaceAllString(text, hidden)
	text = id.ReplaceAllStringFunc(text, func(m string) string { return s.id(m) })
	text = long.ReplaceAllStringFunc(text, func(m string) string {
		if looksSecret(m) {
			return hidden
		}
		return m
	})
	return run.ReplaceAllStringFunc(code.ReplaceAllString(text, digits), func(m string) string {
		if len(m) < 6 || len(m) > 10 || strings.Contains(m, ".") {
			return m
		}
		return digits
	})
}

// id is how rows are named: a prefix and 16 bytes in hex.
var id = regexp.MustCompile(`\b([a-z]{2,4})_[0-9a-f]{32}\b`)

// id keeps what kind of row it is, and gives it another name.
func (s *Scrub) id(text string) string {
	m := hmac.New(sha256.New, s.key)
	m.Write([]byte(text))
	prefix, _, _ := strings.Cut(text, "_")
	name := m.Sum(nil)[:8]
	for i := range name {
		name[i] = 'a' + name[i]%26 // digits could look like a code
	}
	return prefix + "_" + string(name)
}

var (
	hexOnly    = regexp.MustCompile(`^[0-9a-fA-F]{16,}$`)
	base32Only = regexp.MustCompile(`^[A-Z2-7=]{16,}$`)
	crockford  = regexp.MustCompile(`^[0-9A-HJKMNP-TV-Z]{3,8}(-[0-9A-HJKMNP-TV-Z]{3,8}){2,}$`)
	upper      = regexp.MustCompile(`[A-Z]`)
	lower      = regexp.MustCompile(`[a-z]`)
	digit      = regexp.MustCompile(`[0-9]`)
)

// looksSecret judges a run of letters that no language has words as long as. A
// path is judged by its steps.
func looksSecret(run string) bool {
	if crockford.MatchString(run) {
		return true
	}
	for _, step := range append(strings.Split(run, "/"), strings.FieldsFunc(run, func(r rune) bool { return strings.ContainsRune("/-_=", r) })...) {
		switch {
		case hexOnly.MatchString(step), base32Only.MatchString(step):
			return true
		case len(step) >= 20 && digit.MatchString(step) && (upper.MatchString(step) || lower.MatchString(step)):
			return true
		}
	}
	mixed := upper.MatchString(run) && lower.MatchString(run)
	return len(run) >= 20 && mixed && (digit.MatchString(run) || strings.ContainsAny(run, "+=") || len(run) >= 30)
}
