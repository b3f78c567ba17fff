package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"time"

	"latchkey"
	"latchkey/internal/seal"
)

// Decode reads a JSON body strictly (see seal.DecodeStrict). Its errors carry
// the code Invalid and may be shown: they name keys that are words, and never
// repeat values.
func Decode(data []byte, v any) error {
	if nul(data) {
		return latchkey.Errorf(latchkey.Invalid, "a text holds the character NUL")
	}
	err := seal.DecodeStrict(data, v)
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*latchkey.Error](err); ok {
		return e // a type that decodes itself has said it in its own words
	}
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return latchkey.Errorf(latchkey.Invalid, "%s has the wrong type", orDocument(e.Field))
	}
	if _, ok := errors.AsType[*time.ParseError](err); ok {
		return latchkey.Errorf(latchkey.Invalid, "a time is not written as in RFC 3339")
	}
	text := strings.TrimPrefix(err.Error(), seal.ErrNotStrict.Error()+": ")
	if strings.Contains(text, "json: ") || strings.Contains(text, "Time.Unmarshal") { // encoding/json's own words may quote the value
		text = "the document cannot be read"
	}
	return latchkey.Errorf(latchkey.Invalid, "%s", quoted.ReplaceAllStringFunc(text, wordOnly))
}

// nul reports whether a text in a document holds the character that no database
// keeps in one. JSON has one way of writing it.
func nul(data []byte) bool {
	for {
		i := bytes.Index(data, []byte(`\u0000`))
		if i < 0 {
			return false
		}
		if before := len(data[:i]) - len(bytes.TrimRight(data[:i], `\`)); before%2 == 0 {
			return true
		}
		data = data[i+1:]
	}
}

// quoted is a key that an error names.
var quoted = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)

// wordOnly repeats a key that may be a slip of the pen. A key of anything but
// letters may be a secret in the wrong place.
func wordOnly(key string) string {
	letter := func(r rune) bool { return r == '_' || r == '.' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' }
	if len(key) > maxWord+2 || strings.TrimFunc(key[1:len(key)-1], letter) != "" {
		return `"…"`
	}
	return key
}

// maxWord is longer than any key of ours, in bytes.
const maxWord = 24

func orDocument(field string) string {
	if field == "" {
		return "the document"
	}
	return field
}
