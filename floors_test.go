package latchkey_test

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
)

// The house has floors. A package imports lower floors only, and packages on
// one floor do not know each other: that keeps the rules free of the machinery
// and lets the server and the agent link the same ones.
var floors = []struct {
	name  string
	under []string // package paths below the module; each covers the packages in its folder
}{
	0: {"ground", []string{"internal/otp", "internal/secret", "internal/seal", "internal/frame", "internal/pskc", "internal/fido"}},
	1: {"nouns", []string{"."}},
	2: {"rules", []string{"internal/policy", "internal/verify", "internal/logon", "internal/bundle", "internal/api"}},
	3: {"rooms", []string{
		"internal/authn", "internal/enroll", "internal/fleet", "internal/people", "internal/settings",
		"internal/report", "internal/audit", "internal/vault",
	}},
	4: {"pipes", []string{
		"internal/store", "internal/directory", "internal/relyingparty", "internal/notify", "internal/web",
		"internal/apiclient", "internal/ca", "internal/clock", "internal/supervisor", "internal/manual", "internal/bugreport",
		"internal/agent/online", "internal/agent/ipc", "internal/agent/boxfile", "internal/agent/keystore",
		"internal/agent/fidodev", "internal/agent/syncer", "internal/agent/stack",
	}},
	5: {"halls", []string{"internal/httpd", "internal/console", "internal/portal", "internal/agent"}},
	6: {"doors", []string{"cmd"}},
	// Nobody imports what stands around the house, so it may see all of it.
	7: {"garden", []string{"test", "bench"}},
}

const (
	module     = "latchkey"
	quietUpTo  = 3 // floors that decide, and therefore do nothing
	pipes      = 4
	garden     = 7
	mostLines  = 450
	foundation = "internal/secret" // knows nobody; whatever holds a key holds it as its type, the ground floor too
	whyDown    = "imports go down: what decides must not depend on what carries it out"
	whyApart   = "packages on one floor do not know each other: the floor above joins them"
	whyQuiet   = "floors 0 to 3 decide and do nothing: time comes as an argument or a func() time.Time, randomness as an io.Reader, files and sockets stay above"
	whyComment = "one package comment, in one place, says what the package is for and what it refuses"
	whyLines   = "past that a noun is hiding in it: give the noun a file of its own"
	whyName    = "such a name says nothing and collects everything: name it after the noun it holds"
	whyTable   = "give it a place in the table in floors_test.go"
)

// loud is what a quiet package must not import; a path ending in / stands for
// all packages below it.
var loud = []string{
	"os", "os/", "net", "net/http", "net/http/", "net/rpc", "net/smtp", "net/textproto", "database/", "log", "log/", "syscall",
	"crypto/rand", "math/rand", "math/rand/", "io/ioutil", "plugin", "unsafe",
	"golang.org/x/sys/", "golang.org/x/term", "modernc.org/", "github.com/spf13/", "github.com/creack/",
}

// loudTime reads or waits for the clock. Timers are not in it: a logon waits
// for its screen, and tests move timers with testing/synctest.
var loudTime = []string{"Now", "Since", "Until", "Sleep", "Local", "LoadLocation"}

var emptyNames = []string{"util", "utils", "common", "core", "helper", "helpers", "manager", "managers", "types", "models", "base", "misc", "shared"}

func TestEveryPackageKeepsToItsFloor(t *testing.T) {
	t.Parallel()
	for _, b := range breaches(os.DirFS(".")) {
		t.Error(b)
	}
}

// A file is what the rules look at in one Go file.
type file struct {
	path    string
	dir     string // folder below the module, "." for the module itself
	test    bool
	suite   bool // a package of tests that several packages run, such as logontest
	outside bool // an external test package (package x_test)
	syntax  *ast.File
}

// breaches lists every way in which the tree breaks the rules of the house.
func breaches(tree fs.FS) []string {
	var found []string
	var files []file
	err := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if skipped(name, d.Name()) {
				return fs.SkipDir
			}
			return nil
		}
		data, keep, err := source(tree, name)
		if err != nil || !keep {
			return err
		}
		found = append(found, lengthBreach(name, data)...)
		if path.Ext(name) != ".go" {
			return nil
		}
		f, err := parse(name, data)
		files = append(files, f)
		return err
	})
	if err != nil {
		return append(found, err.Error())
	}
	for _, f := range files {
		found = append(found, importBreaches(f)...)
		found = append(found, clockBreaches(f)...)
	}
	return append(found, packageBreaches(files)...)
}

func skipped(name, base string) bool {
	hidden := strings.HasPrefix(base, ".") && name != "."
	return hidden || base == "testdata" || base == "vendor" || name == "bin" || name == "tools"
}

// source reads a file that the rules are about.
func source(tree fs.FS, name string) (data []byte, keep bool, err error) {
	if !slices.Contains([]string{".go", ".c", ".h", ".cc", ".cpp", ".m"}, path.Ext(name)) {
		return nil, false, nil
	}
	data, err = fs.ReadFile(tree, name)
	return data, err == nil, err
}

func lengthBreach(name string, data []byte) []string {
	stem := strings.TrimSuffix(name, path.Ext(name))
	n := bytes.Count(data, []byte("\n"))
	if n <= mostLines || strings.HasSuffix(stem, "_test") {
		return nil
	}
	return []string{fmt.Sprintf("%s: %d lines, more than %d: %s", name, n, mostLines, whyLines)}
}

func parse(name string, data []byte) (file, error) {
	syntax, err := parser.ParseFile(token.NewFileSet(), name, data, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return file{}, err
	}
	return file{
		path:    name,
		dir:     path.Dir(name),
		test:    strings.HasSuffix(name, "_test.go"),
		suite:   strings.HasSuffix(path.Dir(name), "test"),
		outside: strings.HasSuffix(syntax.Name.Name, "_test"),
		syntax:  syntax,
	}, nil
}

// floorOf returns the floor of a package by the longest entry that covers it.
func floorOf(dir string) (floor int, entry string, ok bool) {
	for n, f := range floors {
		for _, e := range f.under {
			covers := dir == e || (e != "." && strings.HasPrefix(dir, e+"/"))
			if covers && len(e) > len(entry) {
				floor, entry, ok = n, e, true
			}
		}
	}
	return floor, entry, ok
}

func importBreaches(f file) []string {
	from, entry, ok := floorOf(f.dir)
	if !ok {
		return []string{fmt.Sprintf("%s: package %s is on no floor: %s", f.path, f.dir, whyTable)}
	}
	var found []string
	for _, spec := range f.syntax.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			found = append(found, fmt.Sprintf("%s: %v", f.path, err))
			continue
		}
		if why := importBreach(f, from, entry, imported); why != "" {
			found = append(found, fmt.Sprintf("%s imports %s: %s", f.path, imported, why))
		}
	}
	return found
}

// importBreach returns why f, on floor from, must not import that, or "".
func importBreach(f file, from int, entry, imported string) string {
	dir, ours := below(imported)
	if !ours {
		if from <= quietUpTo && !f.test && !f.suite && isLoud(imported) {
			return fmt.Sprintf("floor %d (%s) is quiet: %s", from, floors[from].name, whyQuiet)
		}
		return ""
	}
	to, other, ok := floorOf(dir)
	switch {
	case !ok:
		return whyTable
	case other == foundation || entry == other || to < from || from == garden:
		return "" // a package and those in its folder are one household
	case f.test && f.outside && to <= max(from, pipes):
		return "" // tests from outside use real parts: the store, a real file
	case to == from:
		return fmt.Sprintf("both are on floor %d (%s): %s", from, floors[from].name, whyApart)
	default:
		return fmt.Sprintf("it is on floor %d (%s), above floor %d (%s): %s", to, floors[to].name, from, floors[from].name, whyDown)
	}
}

func below(imported string) (dir string, ours bool) {
	if imported == module {
		return ".", true
	}
	return strings.CutPrefix(imported, module+"/")
}

func isLoud(imported string) bool {
	return slices.ContainsFunc(loud, func(l string) bool {
		return imported == l || (strings.HasSuffix(l, "/") && strings.HasPrefix(imported, l))
	})
}

// clockBreaches finds uses of the clock on quiet floors, under whatever name
// the file imports package time.
func clockBreaches(f file) []string {
	from, _, ok := floorOf(f.dir)
	if !ok || from > quietUpTo || f.test || f.suite {
		return nil
	}
	name := importedAs(f.syntax, "time")
	if name == "" {
		return nil
	}
	if name == "." {
		return []string{fmt.Sprintf("%s imports time as a dot: its uses could not be seen", f.path)}
	}
	var found []string
	ast.Inspect(f.syntax, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if x, ok := sel.X.(*ast.Ident); ok && x.Name == name && slices.Contains(loudTime, sel.Sel.Name) {
			found = append(found, fmt.Sprintf("%s uses time.%s on floor %d (%s): %s", f.path, sel.Sel.Name, from, floors[from].name, whyQuiet))
		}
		return true
	})
	return found
}

func importedAs(f *ast.File, pkg string) string {
	for _, spec := range f.Imports {
		if spec.Path.Value != strconv.Quote(pkg) {
			continue
		}
		if spec.Name != nil {
			return spec.Name.Name
		}
		return path.Base(pkg)
	}
	return ""
}

// packageBreaches looks at folders as a whole: their names and their comments.
func packageBreaches(files []file) []string {
	commented := map[string][]string{}
	var dirs []string
	for _, f := range files {
		if f.test {
			continue
		}
		if !slices.Contains(dirs, f.dir) {
			dirs = append(dirs, f.dir)
		}
		if f.syntax.Doc != nil {
			commented[f.dir] = append(commented[f.dir], path.Base(f.path))
		}
	}
	var found []string
	for _, dir := range dirs {
		if in := commented[dir]; len(in) != 1 {
			found = append(found, fmt.Sprintf("package %s has %d package comments %v: %s", dir, len(in), in, whyComment))
		}
		for part := range strings.SplitSeq(dir, "/") {
			if slices.Contains(emptyNames, part) {
				found = append(found, fmt.Sprintf("package %s is named %q: %s", dir, part, whyName))
			}
		}
	}
	return found
}

// The rules above are only worth something if they catch what they are about.
func TestABrokenFloorIsNoticed(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("//\n", mostLines+1)
	for name, tc := range map[string]struct {
		path, source string
		want         string // part of the only breach; "" for none
	}{
		"a rule imports a noun":                      {"internal/policy/a.go", `import "latchkey"`, ""},
		"a rule imports a room":                      {"internal/policy/a.go", `import "latchkey/internal/vault"`, whyDown},
		"ground imports a noun":                      {"internal/otp/a.go", `import "latchkey"`, whyDown},
		"a noun imports ground":                      {"a.go", `import "latchkey/internal/secret"`, ""},
		"ground holds a secret":                      {"internal/otp/a.go", `import "latchkey/internal/secret"`, ""},
		"the secret knows the ground":                {"internal/secret/a.go", `import "latchkey/internal/otp"`, whyApart},
		"a noun imports a rule":                      {"a.go", `import "latchkey/internal/policy"`, whyDown},
		"two rooms know each other":                  {"internal/authn/a.go", `import "latchkey/internal/enroll"`, whyApart},
		"a package imports one in its own folder":    {"internal/logon/logontest/a.go", `import "latchkey/internal/logon"`, ""},
		"a pipe of the agent imports the hall":       {"internal/agent/ipc/a.go", `import "latchkey/internal/agent"`, whyDown},
		"the hall imports a pipe of the agent":       {"internal/agent/a.go", `import "latchkey/internal/agent/ipc"`, ""},
		"two pipes of the agent know each other":     {"internal/agent/ipc/a.go", `import "latchkey/internal/agent/online"`, whyApart},
		"one hall imports the other":                 {"internal/httpd/a.go", `import "latchkey/internal/agent"`, whyApart},
		"a door imports a hall":                      {"cmd/latchkey/a.go", `import "latchkey/internal/httpd"`, ""},
		"a room imports a door":                      {"internal/authn/a.go", `import "latchkey/cmd/latchkey"`, whyDown},
		"a door imports the test harness":            {"cmd/latchkey/a.go", `import "latchkey/test/lab"`, whyDown},
		"the test harness imports a pipe":            {"test/lab/a.go", `import "latchkey/internal/store"`, ""},
		"a package without a floor":                  {"internal/attic/a.go", ``, whyTable},
		"an import of a package without a floor":     {"internal/httpd/a.go", `import "latchkey/internal/attic"`, whyTable},
		"a rule reads files":                         {"internal/policy/a.go", `import "os"`, whyQuiet},
		"a room runs commands":                       {"internal/vault/a.go", `import "os/exec"`, whyQuiet},
		"a room under a build tag opens sockets":     {"internal/vault/a.go", `import "net"`, whyQuiet},
		"a room parses addresses":                    {"internal/vault/a.go", `import "net/netip"`, ""},
		"a room logs":                                {"internal/vault/a.go", `import "log/slog"`, whyQuiet},
		"ground rolls its own dice":                  {"internal/seal/a.go", `import "crypto/rand"`, whyQuiet},
		"a pipe reads files":                         {"internal/store/a.go", `import "os"`, ""},
		"a rule reads the clock":                     {"internal/policy/a.go", "import \"time\"\nvar t = time.Now()", whyQuiet},
		"a rule reads the clock by another name":     {"internal/policy/a.go", "import clock \"time\"\nvar t = clock.Now", whyQuiet},
		"a rule hides the clock behind a dot":        {"internal/policy/a.go", "import . \"time\"\nvar t = Now()", "as a dot"},
		"a rule takes time as an argument":           {"internal/policy/a.go", "import \"time\"\nfunc f(now time.Time) {}", ""},
		"a pipe reads the clock":                     {"internal/store/a.go", "import \"time\"\nvar t = time.Now()", ""},
		"a test of a rule reads files":               {"internal/policy/a_test.go", `import "os"`, ""},
		"a suite of rules rolls dice":                {"internal/logon/logontest/a.go", `import "crypto/rand"`, ""},
		"a suite of rules imports a room":            {"internal/logon/logontest/a.go", `import "latchkey/internal/vault"`, whyDown},
		"a test inside a room imports the store":     {"internal/authn/a_test.go", `import "latchkey/internal/store"`, whyDown},
		"a file that is too long":                    {"internal/store/a.go", long, whyLines},
		"a test that is long":                        {"internal/store/a_test.go", long, ""},
		"a C file that is too long":                  {"native/pam/a.c", long, whyLines},
		"a package named after nothing":              {"internal/store/util/a.go", ``, whyName},
		"a file in testdata is not ours":             {"internal/store/testdata/a.go", `import "latchkey/cmd/latchkey"`, ""},
		"a checker in the tools module is not ours":  {"tools/a.go", `import "latchkey/cmd/latchkey"`, ""},
		"a doubled comment under another build tag":  {"internal/store/b_windows.go", "@again", whyComment},
		"a package without a comment":                {"internal/ca/a.go", "@bare", whyComment},
		"a room's test from outside uses the store":  {"internal/authn/a_test.go", "@outside import \"latchkey/internal/store\"", ""},
		"a room's test from outside uses the server": {"internal/authn/a_test.go", "@outside import \"latchkey/internal/httpd\"", whyDown},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := breaches(planted(tc.path, tc.source))
			switch {
			case tc.want == "" && len(got) != 0:
				t.Errorf("breaches = %q, want none", got)
			case tc.want != "" && (len(got) != 1 || !strings.Contains(got[0], tc.want)):
				t.Errorf("breaches = %q, want one with %q", got, tc.want)
			}
		})
	}
}

// planted is a tidy tree with one file of the test's own in it.
func planted(name, source string) fs.FS {
	const comment = "// Package x is for a test.\n"
	tree := fstest.MapFS{"internal/store/store.go": {Data: []byte(comment + "package x\n")}}
	head := "//go:build linux || windows\n\n"
	inStore := path.Dir(name) == "internal/store" // has its comment already
	rest, outside := strings.CutPrefix(source, "@outside ")
	switch {
	case source == "@bare":
		head, rest = "package x\n", ""
	case source == "@again":
		head, rest = head+comment+"package x\n", ""
	case outside:
		head += "package x_test\n"
	case inStore || strings.HasSuffix(name, "_test.go"):
		head += "package x\n"
	default:
		head += comment + "package x\n"
	}
	tree[name] = &fstest.MapFile{Data: []byte(head + rest + "\n")}
	return tree
}
