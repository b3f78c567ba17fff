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

	"latchkey"
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
	ours  map[string]bool
}

func newScrub(random io.Reader, keep bool) (*Scrub, error) {
	s := &Scrub{key: make([]byte, 32), keep: keep, known: map[string]string{}, ours: map[string]bool{}}
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

// Ours tells of words of our own that stand where names do, such as what doctor
// calls its checks. One that ends with a space begins a longer one, whose rest is
// a name. Known names are replaced within them all the same.
func (s *Scrub) Ours(words ...string) {
	for _, w := range words {
		s.ours[w] = true
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

// Text looks through a text, and field by field through the documents in it.
func (s *Scrub) Text(text string) string {
	text = hidePEM(strings.ToValidUTF8(text, hidden))
	var out strings.Builder
	documents(text, func(between string) { out.WriteString(s.plain(between)) }, func(before, raw string, v any) {
		if asksForSecret(before) {
			out.WriteString(hidden)
			return
		}
		out.WriteString(s.encoded(raw, v))
	})
	return out.String()
}

// edge stands behind each escaped line break, whose letter belongs to no word.
const edge = "\ue000"

var escapes = regexp.MustCompile(`\\+[nrtvf]`)

// plain looks through a text without documents.
func (s *Scrub) plain(text string) string {
	text = s.secrets(escapes.ReplaceAllString(text, "$0"+edge))
	if !s.keep {
		text = s.names(text)
	}
	return strings.ReplaceAll(text, edge, "")
}

// secrets replaces what is, or could be, a secret. Groups come first: what is
// left of them where a setting's value ends would look like nothing.
func (s *Scrub) secrets(text string) string {
	text = s.ids(text)
	text = hideGroups(text)
	text = hideMarked(text)
	text = hideSettings(text)
	return hideRuns(text)
}

var (
	// id is how rows are named: a prefix and 16 bytes in hex.
	id    = regexp.MustCompile(`\b([a-z]{2,4})_[0-9a-f]{32}\b`)
	chunk = regexp.MustCompile(`\b(chunk)-[0-9a-f]{64}\b`)
	logon = regexp.MustCompile(`(?i)\b(logon(?:_id)?(?:\\*["'])?\s*[:= ]\s*(?:\\*["'])?)([0-9a-f]{32})\b`)
	// logonID is what the logon package makes.
	logonID = regexp.MustCompile(`^[0-9a-f]{32}$`)
)

// ids keeps what kind of thing it is, and gives it another name.
func (s *Scrub) ids(text string) string {
	text = logon.ReplaceAllStringFunc(text, func(m string) string {
		p := logon.FindStringSubmatch(m)
		return p[1] + logonName(strings.ToLower(p[2]))
	})
	text = id.ReplaceAllStringFunc(text, func(m string) string {
		return id.FindStringSubmatch(m)[1] + "_" + letters(s.mac(m))
	})
	return chunk.ReplaceAllStringFunc(text, func(m string) string { return "chunk-" + letters(s.mac(m)) })
}

func (s *Scrub) mac(text string) []byte {
	m := hmac.New(sha256.New, s.key)
	m.Write([]byte(text))
	return m.Sum(nil)
}

// logonName names a logon in every report alike, so that those of a machine and
// of its server can be laid side by side. It needs no key: an id is 16 random
// bytes that open nothing, and nobody finds it from a hash by guessing.
func logonName(id latchkey.LogonID) string {
	sum := sha256.Sum256([]byte("latchkey bugreport logon " + id))
	return "logon-" + letters(sum[:])
}

// letters make a name of a hash; digits could look like a code.
func letters(hash []byte) string {
	name := make([]byte, 8)
	for i := range name {
		name[i] = 'a' + hash[i]%26
	}
	return string(name)
}
