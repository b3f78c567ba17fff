//go:build linux

package stack

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// libpam is the real library: one process that runs a service of a private
// folder and says how each phase ended and what its modules returned.
type libpam struct {
	in  io.Writer
	out *bufio.Reader
}

func startLibpam(t *testing.T) *libpam {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "drive")
	if out, err := exec.Command("cc", "-O1", "-o", bin, "testdata/drive.c", "-lpam").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s (needs libpam0g-dev)", err, out)
	}
	cmd := exec.Command(bin)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("libpam's driver: %v", err)
		}
	})
	return &libpam{in, bufio.NewReader(out)}
}

// An ending is how a service ended in one phase.
type ending struct {
	start  int // of pam_start_confdir
	result Code
	called string // what pam_debug said, in order
}

func (p *libpam) run(t fataler, dir, service string, phase Phase) ending {
	fmt.Fprintln(p.in, phase, dir, service)
	line, err := p.out.ReadString('\n')
	if err != nil {
		t.Fatalf("libpam's driver: %v", err)
	}
	f := strings.SplitN(strings.TrimSuffix(line, "\n"), " ", 3)
	first, err1 := strconv.Atoi(f[0])
	second, err2 := strconv.Atoi(f[1])
	if err1 != nil || err2 != nil {
		t.Fatalf("libpam's driver said %q", line)
	}
	return ending{first, Code(second), f[2]}
}

type fataler interface {
	Fatalf(format string, args ...any)
}

// debugModule is libpam's own module that returns what its arguments say.
func debugModule(t *testing.T) string {
	t.Helper()
	for _, dir := range moduleDirs {
		if _, err := os.Stat(filepath.Join(dir, "pam_debug.so")); err == nil {
			return filepath.Join(dir, "pam_debug.so")
		}
	}
	t.Fatal("pam_debug.so is missing (needs libpam-modules)")
	return ""
}

// A workshop is a folder of services whose modules return what their
// arguments say, ours and a password module among them.
type workshop struct {
	dir                    string
	ours, password, nobody string
}

func newWorkshop(t *testing.T) workshop {
	t.Helper()
	dir := t.TempDir()
	w := workshop{dir: dir, ours: filepath.Join(dir, Module), password: filepath.Join(dir, "pam_unix.so"), nobody: filepath.Join(dir, "pam_thing.so")}
	for _, link := range []string{w.ours, w.password, w.nobody} {
		if err := os.Symlink(debugModule(t), link); err != nil {
			t.Fatal(err)
		}
	}
	w.write(t, other, "")
	return w
}

func (w workshop) write(t fataler, name, text string) {
	if err := os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0o644); err != nil {
		t.Fatalf("%v", err)
	}
}

func (w workshop) tree() Tree { return Tree{Root: "/", PAM: w.dir} }

// debug reports whether a line's module is one of the workshop's.
func (l Line) debug() bool {
	return slices.Contains([]string{Module, "pam_unix.so", "pam_thing.so"}, l.Name())
}

// told is what a line's debug module was told to return.
func told(l Line, phase Phase) Code {
	switch l.Name() {
	case "pam_deny.so":
		return AuthErr
	case "pam_permit.so":
		return Success
	}
	if !l.debug() {
		return ModuleUnknown
	}
	name := l.argument(map[Phase]string{Auth: "auth", Account: "acct"}[phase])
	return Code(max(0, slices.Index(codeNames[:], name)))
}

// compare runs one service in libpam and here.
func (w workshop) compare(t fataler, p *libpam, service string, phase Phase) {
	want := p.run(t, w.dir, service, phase)
	s := w.tree().Load(service)
	lines := s.Auth
	if phase == Account {
		lines = s.Account
	}
	if want.start != 0 {
		if s.Broken == "" {
			t.Fatalf("libpam refuses the service, the parser does not\n%s", dump(w, s))
		}
		return
	}
	if s.Broken != "" {
		t.Fatalf("libpam takes the service, the parser says %s\n%s", s.Broken, dump(w, s))
	}
	if s.Undefined != "" {
		return // libpam itself answers now this, now that
	}
	var called strings.Builder
	got := run(lines, func(i int) Code {
		if l := lines[i]; l.debug() {
			fmt.Fprintf(&called, "%s;", told(l, phase))
		}
		return told(lines[i], phase)
	})
	if got != want.result || called.String() != want.called {
		t.Fatalf("libpam: %s after %s; here: %s after %s\n%s", want.result, want.called, got, called.String(), dump(w, s))
	}
}

func dump(w workshop, s Stack) string {
	var b strings.Builder
	for _, f := range append([]string{s.File}, s.Included...) {
		data, _ := os.ReadFile(f)
		fmt.Fprintf(&b, "--- %s\n%s", f, data)
	}
	return b.String()
}

var (
	someControls = rapid.OneOf(
		rapid.SampledFrom([]string{"required", "requisite", "sufficient", "optional", "REQUIRED", "[bogus]", "[success=0]"}),
		rapid.Custom(func(t *rapid.T) string {
			n := rapid.IntRange(1, 4).Draw(t, "pairs")
			var pairs []string
			for range n {
				code := rapid.SampledFrom([]string{"success", "auth_err", "default", "ignore", "authinfo_unavail", "new_authtok_reqd", "cred_unavail"}).Draw(t, "code")
				act := rapid.SampledFrom([]string{"ok", "done", "bad", "die", "ignore", "reset", "1", "2", "3"}).Draw(t, "act")
				pairs = append(pairs, code+"="+act)
			}
			return "[" + strings.Join(pairs, " ") + "]"
		}),
	)
	someCodes = []string{"success", "auth_err", "ignore", "authinfo_unavail", "new_authtok_reqd", "cred_unavail"}
)

// someFile draws a file; fragments are the files it may include.
func (w workshop) someFile(t *rapid.T, fragments []string, lines int) string {
	var b strings.Builder
	for range rapid.IntRange(1, lines).Draw(t, "lines") {
		b.WriteString(w.someLine(t, fragments))
	}
	return b.String()
}

func (w workshop) someLine(t *rapid.T, fragments []string) string {
	typ := rapid.SampledFrom([]string{"auth", "auth", "auth", "-auth", "account", "Auth", "session", "nonsense"}).Draw(t, "type")
	if rapid.IntRange(0, 19).Draw(t, "odd") > 0 && typ == "nonsense" {
		typ = "auth"
	}
	if len(fragments) > 0 && rapid.IntRange(0, 2).Draw(t, "include") == 0 {
		missing := filepath.Join(w.dir, "missing") // in nobody's hands but ours
		f := rapid.SampledFrom(append(slices.Clone(fragments), missing)).Draw(t, "fragment")
		if f == missing && rapid.IntRange(0, 9).Draw(t, "missing") > 0 {
			f = fragments[0]
		}
		how := rapid.SampledFrom([]string{"include", "substack", "substack", "@include"}).Draw(t, "how")
		if how == "@include" {
			return "@include " + f + "\n"
		}
		return typ + " " + how + " " + f + "\n"
	}
	mod := rapid.SampledFrom([]string{w.ours, w.password, w.nobody, "pam_deny.so", "pam_permit.so"}).Draw(t, "module")
	code := rapid.SampledFrom(someCodes).Draw(t, "code")
	blank := rapid.SampledFrom([]string{" ", "\t", " \\\n", " \\ \n # no\n\n "}).Draw(t, "blank")
	end := rapid.SampledFrom([]string{"\n", " # said\n", " \n", " # odd \\\n"}).Draw(t, "end")
	return typ + blank + someControls.Draw(t, "control") + blank + mod + " auth=" + code + " acct=" + code + end
}

func (w workshop) someService(t *rapid.T, lines int) {
	inner, outer := filepath.Join(w.dir, "inner"), filepath.Join(w.dir, "outer")
	w.write(t, "inner", w.someFile(t, nil, 2))
	w.write(t, "outer", w.someFile(t, []string{inner}, 2))
	w.write(t, "svc", w.someFile(t, []string{inner, outer}, lines))
}

func TestStacksEndAsInLibpam(t *testing.T) {
	w, p := newWorkshop(t), startLibpam(t)
	rapid.Check(t, func(t *rapid.T) {
		w.someService(t, 5)
		w.compare(t, p, "svc", Auth)
		w.compare(t, p, "svc", Account)
	})
}

func TestOddFilesAreReadAsLibpamReadsThem(t *testing.T) {
	w, p := newWorkshop(t), startLibpam(t)
	f := filepath.Join(w.dir, "frag")
	w.write(t, "frag", "auth required "+w.nobody+" auth=success\naccount required "+w.nobody+" acct=acct_expired\n")
	r := filepath.Join(w.dir, "resets")
	w.write(t, "resets", "auth required "+w.nobody+" auth=maxtries\nauth [auth_err=reset] "+w.nobody+" auth=auth_err\n")
	for name, text := range map[string]string{
		"no newline at the end":               "auth required M auth=success",
		"a comment without newline":           "# x",
		"an empty file":                       "",
		"a last line of blanks":               "auth required M auth=success\n \t",
		"a line that goes on to nowhere":      "auth required M\nauth required \\\n",
		"a backslash before a blank":          "auth required M auth=success \\ \nauth required M auth=auth_err\n",
		"a backslash before a comment":        "auth required M auth=success \\# x\nauth required M auth=auth_err\n",
		"a backslash in a comment":            "auth required M auth=success #\\\nauth required M auth=auth_err\n",
		"a line of one backslash":             "\\\nauth required M auth=success\n",
		"a carriage return":                   "auth required M auth=maxtries \r\n",
		"brackets around a module":            "auth required [M] auth=success\n",
		"brackets around a type":              "[auth] required M auth=success\n",
		"an escaped bracket":                  "auth [success=ok\\] default=bad] M auth=success\n",
		"a bracket too many":                  "auth [success=ok default=bad]] M auth=success\n",
		"capitals in a control list":          "auth [SUCCESS=ok] M auth=success\n",
		"a jump of none":                      "auth [success=0] M auth=success\n",
		"a comma in a control list":           "auth [success=ok,default=ignore] M auth=success\n",
		"blanks around the equals sign":       "auth [success = ok default = ignore] M auth=success\n",
		"two pairs without a blank":           "auth [success=okdefault=ignore] M auth=success\n",
		"a jump too far":                      "auth [success=9] M auth=success\nauth required M auth=success\n",
		"a jump to the end":                   "auth required M auth=success\nauth [success=1] M auth=success\nauth required pam_deny.so\n",
		"only a jump":                         "auth [success=1] M auth=success\nauth required pam_deny.so\n",
		"a type alone":                        "auth\nauth required M auth=success\n",
		"a control alone":                     "auth required\nauth required M auth=success\n",
		"an unknown type":                     "bogus required M\nauth required M auth=success\n",
		"an unknown type in another's phase":  "account include " + f + "\nauth required M auth=success\n",
		"an include with a minus":             "-@include F\n",
		"an include in capitals":              "@Include F extra\n",
		"an include of a missing file":        "@include G\nauth required M auth=success\n",
		"a typed include of a missing file":   "auth include G\nauth sufficient M auth=success\n",
		"an include of a folder":              "@include D\nauth required M auth=success\n",
		"a typed include of a folder":         "auth include D\nauth sufficient M auth=success\n",
		"a substack of itself":                "auth sufficient M auth=success\nauth substack S\n",
		"phases of an include":                "@include F\nauth substack F\n",
		"a module that is not there":          "auth [module_unknown=ignore success=ok] /nonexistent.so\nauth required M auth=success\n",
		"a reset inside a substack":           "auth required M auth=success\nauth substack R\n",
		"a reset of a failure in a substack":  "auth required M auth=auth_err\nauth substack R\n",
		"success after a jump over substacks": "auth [success=1] M auth=success\nauth substack F\nauth required M auth=success\n",
	} {
		t.Run(name, func(t *testing.T) {
			text = strings.ReplaceAll(text, " M", " "+w.nobody)
			text = strings.ReplaceAll(text, "[M]", "["+w.nobody+"]")
			text = strings.ReplaceAll(strings.ReplaceAll(strings.ReplaceAll(text, " F", " "+f), " R", " "+r), " S", " "+filepath.Join(w.dir, "svc"))
			text = strings.NewReplacer(" G", " "+filepath.Join(w.dir, "missing"), " D", " "+w.dir).Replace(text)
			w.write(t, "svc", text)
			w.compare(t, p, "svc", Auth)
			w.compare(t, p, "svc", Account)
		})
	}
}

// The verdict is the important thing: every combination of results is given to
// libpam, and if one lets in without our module's yes the search must have
// found a way, and the other way round.
func TestTheVerdictIsWhatLibpamDoesWithAllResults(t *testing.T) {
	w, p := newWorkshop(t), startLibpam(t)
	protected, past := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		w.someService(t, 3)
		s := w.tree().Load("svc")
		if s.Broken != "" || s.Undefined != "" || len(s.Auth) == 0 || !callable(s.Auth) {
			return
		}
		found := search(s.Auth, Auth, false)
		ways := allWays(t, w, p, s)
		if past := len(found.past) > 0; past != ways && !(past && mayBeMissing(s)) {
			t.Fatalf("search found %v, libpam %v\n%s", found.past, ways, dump(w, s))
		}
		if ways {
			past++
		} else {
			protected++
		}
	})
	if protected < 10 || past < 10 {
		t.Errorf("only %d protected and %d unprotected stacks were drawn", protected, past)
	}
}

// mayBeMissing: the search thinks of pam_deny and pam_permit as files that may
// be gone, too; here they are not, and a control in brackets can tell.
func mayBeMissing(s Stack) bool {
	return slices.ContainsFunc(s.Auth, func(l Line) bool {
		return (l.Name() == "pam_deny.so" || l.Name() == "pam_permit.so") && strings.HasPrefix(l.control, "[")
	})
}

// callable keeps the number of combinations within reason.
func callable(lines []Line) bool {
	n := 0
	for _, l := range lines {
		if l.kind == module && l.Path[0] == '/' {
			n++
		}
	}
	return n <= 3
}

// allWays gives libpam all combinations of results and reports whether one let
// in without our module's yes.
func allWays(t *rapid.T, w workshop, p *libpam, s Stack) bool {
	f := flat{w: w, texts: map[string]string{}}
	f.file("flat", s.Auth, 0)
	for results := make([]int, f.blanks); ; {
		for name, text := range f.texts {
			for i, r := range results {
				text = strings.Replace(text, fmt.Sprintf("<%d>", i), someCodes[r], 1)
			}
			w.write(t, name, text)
		}
		if passes(t, w, p) {
			return true
		}
		if !next(results, len(someCodes)) {
			return false
		}
	}
}

// A flat stack is written out with a numbered blank for each result, its
// substacks as files of their own.
type flat struct {
	w      workshop
	texts  map[string]string
	blanks int
}

// file writes the lines from the given level on and returns how many it took.
func (f *flat) file(name string, lines []Line, level int) int {
	var b strings.Builder
	i := 0
	for i < len(lines) && lines[i].level >= level {
		l := lines[i]
		i++
		switch {
		case l.kind == substack:
			sub := fmt.Sprintf("sub%d", len(f.texts))
			f.texts[sub] = ""
			i += f.file(sub, lines[i:], level+1)
			fmt.Fprintf(&b, "auth substack %s\n", filepath.Join(f.w.dir, sub))
		case l.kind == mustFail && (l.control == "" || l.actions == all(bad)):
			b.WriteString("auth\n")
		case l.kind == mustFail && l.Path == "":
			fmt.Fprintf(&b, "auth %s\n", l.control)
		case l.kind == mustFail:
			fmt.Fprintf(&b, "nonsense %s %s\n", l.control, l.Path)
		case l.Path[0] != '/':
			fmt.Fprintf(&b, "auth %s %s\n", l.control, l.Path)
		default:
			fmt.Fprintf(&b, "auth %s %s auth=<%d>\n", l.control, l.Path, f.blanks)
			f.blanks++
		}
	}
	f.texts[name] = b.String()
	return i
}

func next(digits []int, base int) bool {
	for i := range digits {
		if digits[i]++; digits[i] < base {
			return true
		}
		digits[i] = 0
	}
	return false
}

func passes(t *rapid.T, w workshop, p *libpam) bool {
	s := w.tree().Load("flat")
	e := p.run(t, w.dir, "flat", Auth)
	if e.result != Success {
		return false
	}
	// Which of our lines were called is not in what libpam says, but the order
	// of the calls is that of the walk, which the other tests compare.
	yes := false
	run(s.Auth, func(i int) Code {
		code := told(s.Auth[i], Auth)
		if s.Auth[i].Ours() && (code == Success || !slices.Contains(ours, code)) { // our module does not say that
			yes = true
		}
		return code
	})
	return !yes
}
