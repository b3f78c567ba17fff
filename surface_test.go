package latchkey_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const surface = "docs/attack-surface.md"

// A door is a way in that code opens: lines that open one, and what of them the
// page has to name ("": the file).
type door struct {
	kind  string
	lines *regexp.Regexp
}

var doors = []door{
	{"a listener", regexp.MustCompile(`net\.Listen\w*\(|net\.FileListener\(`)},
	{"a program", regexp.MustCompile(`exec\.Command\w*\(`)},
	{"a signal", regexp.MustCompile(`signal\.Notify\w*\(`)},
	{"a variable", regexp.MustCompile(`os\.(?:Getenv|LookupEnv)\("([A-Z_]+)"\)`)},
	{"a variable", regexp.MustCompile(`(?:"|\b)((?:LATCHKEY|LISTEN|NOTIFY|WATCHDOG|PG)_?[A-Z_]*[A-Z])"`)},
	{"a path", regexp.MustCompile(`"(/(?:run|etc)/latchkey/[a-z.]+)"`)},
}

// TestTheAttackSurfaceIsWrittenDown: a way in that nobody wrote down is one that
// nobody looked at.
func TestTheAttackSurfaceIsWrittenDown(t *testing.T) {
	t.Parallel()
	page := read(t, surface)
	found := map[string]int{}
	sources(t, func(path, text string) {
		for _, d := range doors {
			for _, m := range d.lines.FindAllStringSubmatch(text, -1) {
				found[d.kind]++
				name := m[len(m)-1]
				if len(m) == 1 {
					name = path
				}
				if !strings.Contains(page, "`"+name) && !strings.Contains(page, name+"`") {
					t.Errorf("%s opens %s (%s) that %s does not name", path, d.kind, name, surface)
				}
			}
		}
	})
	for _, d := range doors {
		if found[d.kind] == 0 {
			t.Errorf("no %s was found: the search is broken", d.kind)
		}
	}
	arguments := regexp.MustCompile(`str(?:n?)cmp\(s, "([a-z_]+=?)`).FindAllStringSubmatch(read(t, "native/pam/pam_latchkey.c"), -1)
	if len(arguments) < 4 {
		t.Errorf("only %d arguments of the module were found", len(arguments))
	}
	for _, m := range arguments {
		if !strings.Contains(page, "`"+m[1]+"`") {
			t.Errorf("the module's argument %s is not in %s", m[1], surface)
		}
	}
}

func TestEveryFuzzerHasAPlaceOnThePage(t *testing.T) {
	t.Parallel()
	page := read(t, surface)
	fuzzers := regexp.MustCompile(`(?m)^func (Fuzz\w+)\(`)
	n := 0
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		for _, m := range fuzzers.FindAllStringSubmatch(read(t, path), -1) {
			n++
			if !strings.Contains(page, "`"+m[1]+"`") {
				t.Errorf("%s is not in %s: what does it stand guard over?", m[1], surface)
			}
		}
		return nil
	})
	if err != nil || n == 0 {
		t.Errorf("%d fuzzers, %v", n, err)
	}
}

// sources are the files that programs are made of.
func sources(t *testing.T, look func(path, text string)) {
	t.Helper()
	for _, root := range []string{"cmd", "internal"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			if dir := filepath.Base(filepath.Dir(path)); strings.HasSuffix(dir, "test") {
				return nil // a suite of tests
			}
			text, err := os.ReadFile(path)
			look(filepath.ToSlash(path), string(text))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
