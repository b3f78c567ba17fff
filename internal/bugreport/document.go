package bugreport

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// line looks through a line of a log, and field by field where it is JSON.
func (s *Scrub) line(line string) string {
	if strings.HasPrefix(line, "{") {
		if clean, err := s.document([]byte(line)); err == nil {
			return string(clean)
		}
	}
	return s.Text(line)
}

func (s *Scrub) document(raw []byte) ([]byte, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	err := e.Encode(s.value("", v))
	return bytes.TrimRight(out.Bytes(), "\n"), err
}

// named are fields that hold a name, whatever it is.
var named = map[string]string{
	"user": "user", "users": "user", "ruser": "user", "actor": "user", "policy": "policy", "policies": "policy", "account": "", "name": "name", "machine": "machine", "group": "group", "groups": "group",
	"rhost": "host", "from": "host", "host": "host", "hostname": "host", "label": "name", "admin": "user", "caller": "", "owner": "user",
}

// secretive are parts of field names that hold what nobody may see.
var secretive = []string{"secret", "token", "password", "passwd", "passphrase", "seed", "private", "cookie", "authorization", "nonce", "proof", "answer", "pins", "identity_key", "sealing_key"}

func (s *Scrub) value(field string, v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, one := range v {
			out[s.Text(k)] = s.value(beneath(field, strings.ToLower(k)), one)
		}
		return out
	case []any:
		out := []any{}
		for _, one := range v {
			out = append(out, s.value(field, one))
		}
		return out
	case string:
		return s.word(field, v)
	case json.Number:
		return s.number(field, v)
	}
	return v
}

// beneath is what a field is judged by: what stands in a secret is one, whatever
// its parts are called.
func beneath(outer, field string) string {
	if isSecretive(outer) {
		return outer
	}
	return field
}

func isSecretive(field string) bool {
	return slices.ContainsFunc(secretive, func(part string) bool { return strings.Contains(field, part) })
}

func (s *Scrub) word(field, text string) string {
	if isSecretive(field) && text != "" {
		return hidden
	}
	if _, err := time.Parse(time.RFC3339, text); err == nil {
		return text
	}
	if kind := named[field]; kind != "" && s.Text(text) == text {
		if prefix, rest, ok := strings.Cut(text, ":"); ok && prefix == "group" {
			return prefix + ":" + s.Name("group", rest)
		}
		return s.Name(kind, text)
	}
	return s.Text(text)
}

// pretty is a document that people can read.
func (s *Scrub) pretty(raw []byte) []byte {
	clean, err := s.document(raw)
	if err != nil {
		return s.lines(raw)
	}
	var out bytes.Buffer
	_ = json.Indent(&out, clean, "", "  ") // it was encoded a moment ago
	return append(out.Bytes(), '\n')
}

func (s *Scrub) lines(raw []byte) []byte {
	var out strings.Builder
	for l := range strings.Lines(pem.ReplaceAllString(string(raw), hidden)) {
		out.WriteString(s.line(strings.TrimRight(l, "\r\n")) + "\n")
	}
	return []byte(out.String())
}

// learn finds names in documents: what is a name there is one in texts too.
func (s *Scrub) learn(raw []byte) {
	for l := range bytes.Lines(raw) {
		var v any
		if json.Unmarshal(l, &v) == nil {
			s.learnIn("", v)
		}
	}
}

func (s *Scrub) learnIn(field string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for k, one := range v {
			s.learnIn(strings.ToLower(k), one)
		}
	case []any:
		for _, one := range v {
			s.learnIn(field, one)
		}
	case string:
		if kind := named[field]; (kind == "user" || kind == "host" || kind == "machine") && len(v) > 2 {
			s.Know(kind, strings.TrimPrefix(v, "group:"))
		}
	}
}

// number hides what has the length of a code, but for fields that count.
func (s *Scrub) number(field string, n json.Number) any {
	for _, part := range []string{"bytes", "size", "rows", "_ms", "count", "kib", "number", "epoch", "version", "time", "pid", "uid", "inode"} {
		if strings.Contains(field, part) {
			return n
		}
	}
	if code.MatchString(n.String()) {
		return digits
	}
	return n
}
