package secret_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"latchkey/internal/secret"
)

const plain = "hunter2-hunter2!"

type envelope struct {
	Name string
	Key  secret.Bytes
	Ptr  *secret.Bytes
	Many []secret.Bytes
}

func sample() envelope {
	b := secret.Bytes(plain)
	return envelope{"ana", b, &b, []secret.Bytes{b}}
}

// leaks lists the ways in which the bytes of plain could show up in text.
func leaks(out string) []string {
	var found []string
	for name, form := range map[string]string{
		"text":    plain,
		"part":    "unter2",
		"hex":     fmt.Sprintf("%x", plain[:4]),
		"HEX":     fmt.Sprintf("%X", plain[:4]),
		"decimal": "104 117 110",
		"comma":   "104,117,110",
		"base64":  "aHVudGVy",
		"go":      "0x68, 0x75",
		"octal":   "150 165",
		"binary":  "1101000",
	} {
		if strings.Contains(out, form) {
			found = append(found, name)
		}
	}
	return found
}

func wantMasked(t *testing.T, out string) {
	t.Helper()
	if l := leaks(out); l != nil {
		t.Errorf("leaks as %v: %s", l, out)
	}
	if !strings.Contains(out, secret.Mask) {
		t.Errorf("no mask in %q", out)
	}
}

func TestNoVerbPrintsASecret(t *testing.T) {
	t.Parallel()
	b := secret.Bytes(plain)
	for _, verb := range strings.Fields("v +v #v s q x X d b o O c U t e +q #x 20s -20s .3s #q 08d z") {
		for what, v := range map[string]any{"value": b, "pointer": &b, "struct": sample(), "slice": []secret.Bytes{b}, "map": map[string]secret.Bytes{"k": b}} {
			t.Run(what+" with %"+verb, func(t *testing.T) {
				if l := leaks(fmt.Sprintf("%"+verb, v)); l != nil {
					t.Errorf("leaks as %v", l)
				}
			})
		}
		if got := fmt.Sprintf("%"+verb, b); !strings.HasPrefix(got, secret.Mask) {
			t.Errorf("%%%s prints %q", verb, got)
		}
	}
	wantMasked(t, fmt.Sprint(b))
	wantMasked(t, fmt.Errorf("opening: %v %w", b, errors.New("no")).Error())
	wantMasked(t, b.String()+b.GoString())
}

func TestNoLoggerPrintsASecret(t *testing.T) {
	t.Parallel()
	for name, handler := range map[string]func(*bytes.Buffer) slog.Handler{
		"text": func(w *bytes.Buffer) slog.Handler { return slog.NewTextHandler(w, nil) },
		"json": func(w *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(w, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			b := secret.Bytes(plain)
			slog.New(handler(&out)).With("held", b).Info("logon",
				"value", b, "pointer", &b, "struct", sample(), "slice", []secret.Bytes{b},
				slog.Group("g", "in", b), "error", fmt.Errorf("with %x", b))
			wantMasked(t, out.String())
			if n := strings.Count(out.String(), secret.Mask); n < 8 {
				t.Errorf("only %d masks in %s", n, out.String())
			}
		})
	}
}

func TestNoEncoderWritesASecret(t *testing.T) {
	t.Parallel()
	b := secret.Bytes(plain)
	for name, encode := range map[string]func() ([]byte, error){
		"json":        func() ([]byte, error) { return json.Marshal(sample()) },
		"json of map": func() ([]byte, error) { return json.Marshal(map[string]any{"k": b}) },
		"xml":         func() ([]byte, error) { return xml.Marshal(sample()) },
		"text":        func() ([]byte, error) { return b.MarshalText() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, err := encode()
			if err != nil {
				t.Fatal(err)
			}
			wantMasked(t, string(out))
		})
	}
}

func TestAMaskIsNeverReadBackAsASecret(t *testing.T) {
	t.Parallel()
	var e envelope
	if err := json.Unmarshal([]byte(`{"Key":"[secret]"}`), &e); !errors.Is(err, secret.ErrUnreadable) {
		t.Errorf("json: %v", err)
	}
	if err := new(secret.Bytes).UnmarshalText([]byte(secret.Mask)); !errors.Is(err, secret.ErrUnreadable) {
		t.Errorf("text: %v", err)
	}
}

func TestEqual(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		a, b string
		want bool
	}{
		"the same bytes are equal":            {"abc", "abc", true},
		"one different byte is not":           {"abc", "abd", false},
		"a prefix is not":                     {"abc", "ab", false},
		"nothing does not equal something":    {"", "a", false},
		"nothing does not even equal nothing": {"", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := secret.Bytes(tc.a).Equal([]byte(tc.b)); got != tc.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestWipeZeroesTheSliceAndNotItsClone(t *testing.T) {
	t.Parallel()
	a := secret.Bytes(plain)
	b := a.Clone()
	a.Wipe()
	if !bytes.Equal(a, make([]byte, len(plain))) {
		t.Error("not wiped")
	}
	if string(b) != plain {
		t.Error("the clone was wiped too")
	}
}
