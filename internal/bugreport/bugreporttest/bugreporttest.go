// Package bugreporttest opens reports and looks for what must not be in them,
// in every form that a program might print it in.
//
// It refuses to trust the scrubber: it unpacks the file and searches bytes.
package bugreporttest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
)

// Open returns the parts of a report, and all of it in one text.
func Open(t *testing.T, path string) (parts map[string]string, all string) {
	t.Helper()
	parts, all, err := Unpack(path)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return parts, all
}

// Unpack is Open without a test. It refuses files that others may read.
func Unpack(path string) (parts map[string]string, all string, err error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, "", err
	}
	if info.Mode() != 0o600 {
		return nil, "", fmt.Errorf("its mode is %v", info.Mode())
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, "", err
	}
	z, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		return nil, "", err
	}
	parts = map[string]string{}
	var text strings.Builder
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return parts, text.String(), nil
		}
		if err != nil {
			return nil, "", err
		}
		b, err := io.ReadAll(r)
		if err != nil {
			return nil, "", err
		}
		parts[strings.TrimPrefix(h.Name, "latchkey-bugreport/")] = string(b)
		text.WriteString(h.Name + "\n" + string(b) + "\n")
	}
}

// Lacks fails where a report holds one of the secrets.
func Lacks(t *testing.T, all string, secrets map[string][]byte) {
	t.Helper()
	for _, f := range Find(all, secrets) {
		t.Error("the report holds " + f)
	}
}

// Find looks for secrets as they are and in hex or base64, wherever in a longer
// text they were encoded.
func Find(all string, secrets map[string][]byte) []string {
	var found []string
	folded := strings.ToLower(all)
	for name, s := range secrets {
		if len(s) < 3 {
			found = append(found, name+", which is too short to be looked for")
		}
		for how, form := range forms(s) {
			if strings.Contains(all, form) || !strings.HasPrefix(how, "base64") && strings.Contains(folded, strings.ToLower(form)) {
				found = append(found, fmt.Sprintf("%s (%s: %q)", name, how, form))
			}
		}
	}
	return found
}

func forms(s []byte) map[string]string {
	out := map[string]string{"plain": string(s), "hex": hex.EncodeToString(s)}
	// What the neighbours do not touch of three possible places in a longer text.
	for shift := range 3 {
		text := base64.RawStdEncoding.EncodeToString(append(bytes.Repeat([]byte{0}, shift), s...))
		from, to := []int{0, 2, 3}[shift], len(text)-2
		if to-from >= 8 {
			out["base64 at "+string(rune('0'+shift))] = text[from:to]
			out["base64url at "+string(rune('0'+shift))] = strings.NewReplacer("+", "-", "/", "_").Replace(text[from:to])
		}
	}
	return out
}
