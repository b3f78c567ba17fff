package frame

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
)

var tagNames = map[Tag]string{
	TagVersionMin: "VERSION_MIN", TagVersionMax: "VERSION_MAX", TagKind: "KIND", TagLocale: "LOCALE", TagCaps: "CAPS",
	TagOp: "OP", TagScenario: "SCENARIO", TagService: "SERVICE", TagUser: "USER", TagUID: "UID", TagSID: "SID", TagRUser: "RUSER",
	TagRHost: "RHOST", TagTTY: "TTY", TagFlags: "FLAGS", TagFirstFactor: "FIRST_FACTOR", TagAuthEvent: "AUTH_EVENT", TagRUID: "RUID",
	TagID: "ID", TagValue: "VALUE", TagAskKind: "ASK_KIND", TagLabel: "LABEL", TagExpiry: "EXPIRY", TagChoice: "CHOICE",
	TagText: "TEXT", TagError: "ERROR", TagOutcome: "OUTCOME", TagReason: "REASON", TagLoginsLeft: "LOGINS_LEFT",
	TagDaysLeft: "DAYS_LEFT", TagValidUntil: "VALID_UNTIL", TagEventID: "EVENT_ID", TagVersion: "VERSION",
}

type transcript struct {
	name, is string
	bytes    []byte
}

func transcripts(t *testing.T) []transcript {
	t.Helper()
	file, err := os.ReadFile("../../test/transcripts/frames.txt")
	if err != nil {
		t.Fatal(err)
	}
	var all []transcript
	for _, line := range strings.Split(string(file), "\n") {
		key, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch key {
		case "name":
			all = append(all, transcript{name: value})
		case "hex":
			all[len(all)-1].bytes = unhex(t, value)
		case "is":
			all[len(all)-1].is = value
		}
	}
	if len(all) < 90 {
		t.Fatalf("only %d transcripts", len(all))
	}
	return all
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	var out []byte
	for _, word := range strings.Fields(s) {
		digits, times, repeated := strings.Cut(word, "*")
		b, err := hex.DecodeString(digits)
		n := 1
		if repeated && err == nil {
			n, err = strconv.Atoi(times)
		}
		if err != nil {
			t.Fatalf("%q: %v", word, err)
		}
		out = append(out, bytes.Repeat(b, n)...)
	}
	return out
}

// describe says what r holds in the words of the transcripts.
func describe(r io.Reader) (string, Message) {
	f, err := Read(r)
	var m Message
	if err == nil {
		m, err = Parse(f)
	}
	switch {
	case errors.Is(err, io.EOF):
		return "end", nil
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "truncated", nil
	case errors.Is(err, ErrMalformed):
		return "malformed", nil
	case err != nil:
		return err.Error(), nil
	}
	words := []string{f.Type.String()}
	for _, field := range f.Fields {
		if _, known := layouts[f.Type][field.Tag]; known {
			words = append(words, tagNames[field.Tag]+"="+show(field))
		}
	}
	return strings.Join(words, " "), m
}

func show(f Field) string {
	switch rules[f.Tag].shape {
	case shapeU8, shapeU32, shapeU64:
		wide := make([]byte, 8)
		copy(wide[8-len(f.Value):], f.Value)
		return strconv.FormatUint(binary.BigEndian.Uint64(wide), 10)
	}
	var b strings.Builder
	for _, c := range f.Value {
		if c < 32 || c > 126 || c == '"' || c == '\\' {
			fmt.Fprintf(&b, `\x%02x`, c)
		} else {
			b.WriteByte(c)
		}
	}
	if len(f.Value) > 80 {
		return fmt.Sprintf("len%d%q", len(f.Value), b.String()[:8])
	}
	return `"` + b.String() + `"`
}

func TestFramesMeanWhatTheTranscriptsSay(t *testing.T) {
	t.Parallel()
	for _, tc := range transcripts(t) {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			whole, m := describe(bytes.NewReader(tc.bytes))
			if whole != tc.is {
				t.Errorf("read as\n%s\nwant\n%s", whole, tc.is)
			}
			if slow, _ := describe(iotest.OneByteReader(bytes.NewReader(tc.bytes))); slow != tc.is {
				t.Errorf("read a byte at a time as %s", slow)
			}
			if m == nil || strings.HasPrefix(tc.name, "~") {
				return
			}
			var again bytes.Buffer
			if err := Send(&again, m); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(again.Bytes(), tc.bytes) {
				t.Errorf("written as\n%x\nwant\n%x", again.Bytes(), tc.bytes)
			}
		})
	}
}

func TestEveryKnownTagAndTypeHasATranscript(t *testing.T) {
	t.Parallel()
	var all strings.Builder
	for _, tc := range transcripts(t) {
		all.WriteString(" " + tc.is + " ")
	}
	for tag := range rules {
		if name := tagNames[tag]; name == "" || !strings.Contains(all.String(), " "+name+"=") {
			t.Errorf("tag %d (%s) is in no transcript", tag, name)
		}
	}
	for typ, name := range typeNames {
		if !strings.Contains(all.String(), " "+name+" ") {
			t.Errorf("%s is in no transcript", name)
		}
		if layouts[typ] == nil {
			t.Errorf("%s has no layout", name)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte{0, 0, 0, 5, 0x84, 60, 0, 1, 1})
	f.Add([]byte{0, 0, 0, 1, 0x83})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Receive(bytes.NewReader(b))
		if err != nil {
			if m != nil {
				t.Fatalf("both %#v and %v", m, err)
			}
			return
		}
		var again bytes.Buffer
		if err := Send(&again, m); err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		second, err := Receive(&again)
		if err != nil || fmt.Sprintf("%#v", deref(second)) != fmt.Sprintf("%#v", deref(m)) {
			t.Fatalf("%#v became %#v (%v)", m, second, err)
		}
	})
}

// deref makes messages comparable by what their pointers point to.
func deref(m Message) any {
	frame, err := m.Encode()
	if err != nil {
		return err
	}
	return frame.Fields
}
