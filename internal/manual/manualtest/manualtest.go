// Package manualtest is the suite that both programs' commands pass: their
// pages, their completions, and what docs/contract.md promises of them.
//
// It refuses to run a command: it looks at what commands say of themselves.
package manualtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"latchkey/internal/manual"
)

// Pages checks that every command and every flag is on a page, that roff has
// nothing to complain about, and that shells can read the completions.
func Pages(t *testing.T, root *cobra.Command) {
	t.Helper()
	dir := t.TempDir()
	if err := manual.Write(root, "0", dir); err != nil {
		t.Fatal(err)
	}
	pages, err := filepath.Glob(filepath.Join(dir, "man/man8/*.8"))
	if err != nil || len(pages) < 5 {
		t.Fatalf("%d pages, %v", len(pages), err)
	}
	for _, p := range pages {
		if out, err := exec.Command("groff", "-man", "-Tutf8", "-ww", "-z", p).CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("groff %s: %v %s", filepath.Base(p), err, out)
		}
	}
	each(root, func(c *cobra.Command) { onItsPage(t, dir, root, c) })
	script := filepath.Join(dir, "bash-completion/completions", root.Name())
	if out, err := exec.Command("bash", "-n", script).CombinedOutput(); err != nil {
		t.Errorf("bash cannot read the completion: %v %s", err, out)
	}
	for _, name := range []string{"zsh/site-functions/_" + root.Name(), "fish/vendor_completions.d/" + root.Name() + ".fish"} {
		if text := read(t, filepath.Join(dir, name)); !strings.Contains(text, "__complete") {
			t.Errorf("%s completes nothing", name)
		}
	}
}

// onItsPage wants a command with its flags on the page of its noun.
func onItsPage(t *testing.T, dir string, root, c *cobra.Command) {
	t.Helper()
	words := strings.Fields(c.CommandPath())
	page := strings.ReplaceAll(read(t, filepath.Join(dir, "man/man8", strings.Join(words[:min(2, len(words))], "-")+".8")), `\-`, "-")
	wanted := []string{c.CommandPath() + strings.TrimPrefix(c.Use, c.Name()), c.Short}
	for _, f := range flagNames(c) {
		wanted = append(wanted, "--"+f)
	}
	if c == root || c.HasSubCommands() {
		wanted = []string{c.Name()}
	}
	for _, w := range wanted {
		if !strings.Contains(page, w) {
			t.Errorf("%s: its page does not say %q", c.CommandPath(), w)
		}
	}
	if c.Short == "" {
		t.Errorf("%s says nothing of itself", c.CommandPath())
	}
}

// each visits the commands that users are shown.
func each(c *cobra.Command, do func(*cobra.Command)) {
	do(c)
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() && sub.Name() != "help" && sub.Name() != "completion" {
			each(sub, do)
		}
	}
}

var flagForm = regexp.MustCompile(`--([a-z][a-z-]*)`)

func flagNames(c *cobra.Command) []string {
	var out []string
	for _, m := range flagForm.FindAllStringSubmatch(c.NonInheritedFlags().FlagUsages(), -1) {
		if c.Flags().Lookup(m[1]) != nil && m[1] != "help" {
			out = append(out, m[1])
		}
	}
	return out
}

// Contract compares a page of promised command lines with the commands: what
// is promised is there, what is not yet there is under its heading, and every
// command is promised.
func Contract(t *testing.T, root *cobra.Command, path string) {
	t.Helper()
	now, later, found := strings.Cut(read(t, path), "## Not yet")
	if !found {
		t.Fatalf("%s has no part \"Not yet\"", path)
	}
	promised := map[string]bool{}
	for _, line := range lines(now, root.Name()) {
		for _, words := range expand(line) {
			promised[promise(t, root, line, words)] = true
		}
	}
	for _, line := range lines(later, root.Name()) {
		for _, words := range expand(line) {
			if c, _, err := root.Find(words); err == nil && c != root && c.CommandPath() == root.Name()+" "+strings.Join(words, " ") {
				t.Errorf("%q is under \"Not yet\" and exists: move it up", line)
			}
		}
	}
	each(root, func(c *cobra.Command) {
		if c != root && !c.HasAvailableSubCommands() && !promised[c.CommandPath()] {
			t.Errorf("%s is not promised: add it to docs/%s", c.CommandPath(), filepath.Base(path))
		}
	})
}

func promise(t *testing.T, root *cobra.Command, line string, words []string) string {
	t.Helper()
	c, rest, err := root.Find(words)
	if err != nil || len(rest) > 0 || c == root {
		t.Errorf("%q: there is no such command (%v)", line, err)
		return ""
	}
	for _, m := range flagForm.FindAllStringSubmatch(line, -1) {
		if c.Flag(m[1]) == nil && c.InheritedFlags().Lookup(m[1]) == nil {
			t.Errorf("%s has no flag --%s", c.CommandPath(), m[1])
		}
	}
	return c.CommandPath()
}

func lines(text, program string) []string {
	var out []string
	for l := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(l), program+" "); ok {
			out = append(out, rest)
		}
	}
	return out
}

// expand returns the commands of a line: its words in lower case at the
// beginning, "a|b" being two.
func expand(line string) [][]string {
	all := [][]string{nil}
	for _, w := range strings.Fields(line) {
		if !regexp.MustCompile(`^[a-z][a-z|-]*$`).MatchString(w) {
			break
		}
		var next [][]string
		for _, so := range all {
			for _, one := range strings.Split(w, "|") {
				next = append(next, append(append([]string{}, so...), one))
			}
		}
		all = next
	}
	return all
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Flags checks that each flag of a command has a row in a table of settings on a
// page, with a word on what could go wrong in its last cell.
func Flags(t *testing.T, c *cobra.Command, page string) {
	t.Helper()
	rows := regexp.MustCompile(`(?m)^\|([^|]*)\|.*\|\s*([^|\s][^|]*)\|$`).FindAllStringSubmatch(read(t, page), -1)
	for _, f := range flagNames(c) {
		found := false
		for _, r := range rows {
			found = found || strings.Contains(r[1], "`--"+f+"`")
		}
		if !found {
			t.Errorf("%s --%s: %s does not say what could go wrong with it", c.CommandPath(), f, page)
		}
	}
}
