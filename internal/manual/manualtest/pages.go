package manualtest

import (
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// code is what a page shows as typed: in blocks without a language or with a
// shell's, and between backticks.
var (
	block  = regexp.MustCompile("(?ms)^```(?:sh|bash|console)?\n(.*?)^```")
	inline = regexp.MustCompile("`([^`\n]+)`")
)

// Docs checks that every command line of the program on every page below a
// folder exists, with its flags.
func Docs(t *testing.T, root *cobra.Command, folder string) {
	t.Helper()
	n := 0
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || strings.HasPrefix(d.Name(), ".") && path != folder {
			return skip(d, err)
		}
		if d.IsDir() || filepath.Ext(path) != ".md" || d.Name() == "contract.md" {
			return nil
		}
		for _, line := range typed(read(t, path), root.Name()) {
			n++
			if problem := wrong(root, line); problem != "" {
				t.Errorf("%s: %s %s: %s", path, root.Name(), line, problem)
			}
		}
		return nil
	})
	if err != nil || n < 10 {
		t.Errorf("%d commands of %s were found on the pages below %s, %v", n, root.Name(), folder, err)
	}
}

func skip(d fs.DirEntry, err error) error {
	if err == nil && d.IsDir() {
		return fs.SkipDir
	}
	return err
}

// typed are the program's command lines on a page.
func typed(page, program string) []string {
	var out []string
	take := func(text string) {
		text = strings.TrimPrefix(strings.TrimPrefix(strings.TrimSpace(text), "$ "), "sudo ")
		text = strings.TrimPrefix(text, "bin/")
		if rest, ok := strings.CutPrefix(text, program+" "); ok {
			out = append(out, rest)
		}
	}
	rest := page
	for _, m := range block.FindAllStringSubmatch(page, -1) {
		for l := range strings.Lines(m[1]) {
			take(l)
		}
		rest = strings.Replace(rest, m[0], "", 1)
	}
	for _, m := range inline.FindAllStringSubmatch(rest, -1) {
		take(m[1])
	}
	return out
}

var verbForm = regexp.MustCompile(`^[a-z][a-z-]*$`)

// wrong says what of a command line the program does not know.
func wrong(root *cobra.Command, line string) string {
	line, _, _ = strings.Cut(line, " #")
	line, _, _ = strings.Cut(line, " | ")
	var words []string
	for _, w := range strings.Fields(line) {
		if !verbForm.MatchString(w) {
			break
		}
		words = append(words, w)
	}
	if len(words) == 0 {
		return "" // a placeholder such as COMMAND, or a flag alone
	}
	c, rest, err := root.Find(words)
	if err != nil || c == root {
		return "there is no such command"
	}
	if len(rest) > 0 && c.HasSubCommands() {
		return "there is no verb " + rest[0]
	}
	for _, m := range flagForm.FindAllStringSubmatch(line, -1) {
		if m[1] != "help" && c.Flag(m[1]) == nil && c.InheritedFlags().Lookup(m[1]) == nil {
			return "there is no flag --" + m[1]
		}
	}
	return ""
}
