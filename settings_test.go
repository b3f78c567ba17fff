package latchkey_test

import (
	"reflect"
	"regexp"
	"strings"
	"testing"

	"latchkey"
)

// warned are the settings that have a row in a table whose last cell says what
// could go wrong.
func warned(t *testing.T) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	for _, page := range []string{"docs/admin/README.md", "docs/admin/settings.md", "docs/admin/operations.md"} {
		warns := false
		for line := range strings.Lines(read(t, page)) {
			cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
			if !strings.HasPrefix(line, "|") {
				warns = false
			} else if strings.Contains(line, "what could go wrong") {
				warns = true
			} else if warns && len(cells) >= 3 && strings.TrimSpace(cells[len(cells)-1]) != "" {
				for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cells[0], -1) {
					found[m[1]] = true
				}
			}
		}
	}
	return found
}

// TestEverySettingSaysWhatCouldGoWrong: fields of policies and machines, and the
// arguments of the module. The programs' flags are looked at beside them.
func TestEverySettingSaysWhatCouldGoWrong(t *testing.T) {
	t.Parallel()
	found := warned(t)
	var wanted []string
	wanted = append(wanted, fields("", reflect.TypeFor[latchkey.Policy]())...)
	wanted = append(wanted, fields("", reflect.TypeFor[latchkey.MachineSettings]())...)
	for _, m := range regexp.MustCompile(`str(?:n?)cmp\(s, "([a-z_]+=?)`).FindAllStringSubmatch(read(t, "native/pam/pam_latchkey.c"), -1) {
		wanted = append(wanted, m[1])
	}
	if len(wanted) < 30 {
		t.Fatalf("only %d settings were found: %q", len(wanted), wanted)
	}
	for _, w := range wanted {
		if !found[w] {
			t.Errorf("%s: no page of docs/admin says in a table what could go wrong with it", w)
		}
	}
}

// fields are the JSON names of a struct, with those of structs in it.
func fields(prefix string, s reflect.Type) []string {
	var out []string
	for f := range s.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		inner := f.Type
		if inner.Kind() == reflect.Map {
			name, inner = name+".X", inner.Elem()
		}
		if inner.Kind() == reflect.Struct && inner.PkgPath() == "latchkey" && inner.Name() != "Subjects" {
			out = append(out, fields(prefix+name+".", inner)...)
			continue
		}
		out = append(out, prefix+name)
	}
	return out
}
