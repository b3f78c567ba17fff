package bugreport

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"time"
)

// opening is how a document begins; mostTries bounds how often a text is read
// in vain for one.
var opening = regexp.MustCompile(`\{\s*["}]`)

const mostTries = 64

// documents splits a text into what is JSON and what stands between. found gets
// all that stood before, too.
func documents(text string, between func(string), found func(before, raw string, v any)) {
	at, from := 0, 0
	for range mostTries {
		m := opening.FindStringIndex(text[from:])
		if m == nil {
			break
		}
		begin := from + m[0]
		v, length, err := decode(text[begin:])
		if err != nil {
			from = begin + 1
			continue
		}
		between(text[at:begin])
		found(text[at:begin], text[begin:begin+length], v)
		at, from = begin+length, begin+length
	}
	between(text[at:])
}

func decode(text string) (v any, length int, err error) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	err = d.Decode(&v)
	return v, int(d.InputOffset()), err
}

// encoded is a document that was looked through.
func (s *Scrub) encoded(raw string, v any) string {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(s.value("", v)); err != nil {
		return s.plain(raw)
	}
	return strings.TrimRight(out.String(), "\n")
}

func (s *Scrub) value(field string, v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, one := range v {
			out[s.Text(k)] = s.value(beneath(field, strings.ToLower(k), one), one)
		}
		return out
	case []any:
		return s.list(field, v)
	case string:
		return s.word(field, v)
	case json.Number:
		return s.number(field, v)
	}
	return v
}

// list looks through a list, which may be a program's arguments, or a key's
// bytes.
func (s *Scrub) list(field string, all []any) any {
	if bytesIn(all) && !counts(field) {
		return hidden
	}
	out, after := []any{}, false
	for _, one := range all {
		judged := field
		if after {
			judged = secretive[0]
		}
		out = append(out, s.value(judged, one))
		text, isText := one.(string)
		after = isText && !after && isFlag(text)
	}
	return out
}

// bytesIn: six numbers of a byte's size, or more, are rather a key.
func bytesIn(all []any) bool {
	for _, one := range all {
		if n, ok := one.(json.Number); !ok || len(n) > 3 {
			return false
		}
	}
	return len(all) >= 6
}

// beneath is what a field is judged by: what stands in a secret is one, whatever
// its parts are called. How many rows a table has is none, whatever that is
// called.
func beneath(outer, field string, v any) string {
	_, isNumber := v.(json.Number)
	if isSecretive(outer) || outer == "rows" && isNumber {
		return outer
	}
	return field
}

func (s *Scrub) word(field, text string) string {
	if isSecretive(field) && text != "" && !isID(text) {
		return hidden
	}
	if _, err := time.Parse(time.RFC3339, text); err == nil {
		return text
	}
	if strings.HasPrefix(field, "logon") && logonID.MatchString(text) {
		return logonName(text)
	}
	if kind := kindOf(field, text); kind != "" {
		return s.named(kind, text)
	}
	return s.Text(text)
}

// pretty is a document that people can read.
func (s *Scrub) pretty(raw []byte) []byte {
	v, _, err := decode(string(raw))
	if err != nil {
		return s.lines(raw)
	}
	var out bytes.Buffer
	_ = json.Indent(&out, []byte(s.encoded(string(raw), v)), "", "  ") // it was encoded a moment ago
	return append(out.Bytes(), '\n')
}

func (s *Scrub) lines(raw []byte) []byte {
	var out strings.Builder
	for l := range strings.Lines(hidePEM(string(raw))) {
		out.WriteString(s.Text(strings.TrimRight(l, "\r\n")) + "\n")
	}
	return []byte(out.String())
}

// learn finds names in texts and in documents: what is a name there is one
// elsewhere too.
func (s *Scrub) learn(raw []byte) {
	for l := range strings.Lines(string(raw)) {
		s.learnText(l)
	}
}

func (s *Scrub) learnText(text string) {
	documents(text, s.learnPlain, func(_, _ string, v any) { s.learnIn("", v) })
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
		if kind := kindOf(field, v); kind == "user" || kind == "host" || kind == "machine" {
			s.learnName(kind, v)
			return
		}
		s.learnText(v)
	}
}

func (s *Scrub) learnName(kind, name string) {
	if prefix, rest, ok := strings.Cut(name, ":"); ok && kinds[prefix] {
		name = rest
	}
	if len(name) > 2 {
		s.Know(kind, name)
	}
}

// number hides what has the length of a code, but for fields that count.
func (s *Scrub) number(field string, n json.Number) any {
	switch {
	case isSecretive(field):
		return hidden
	case !counts(field) && code.MatchString(n.String()):
		return digits
	}
	return n
}

func counts(field string) bool {
	for _, part := range []string{"bytes", "size", "rows", "_ms", "count", "kib", "number", "epoch", "version", "time", "pid", "uid", "inode"} {
		if strings.Contains(field, part) {
			return true
		}
	}
	return false
}
