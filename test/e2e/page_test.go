//go:build linux

package e2e_test

import (
	"io/fs"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const tree = "../.."

// pages are the documents whose commands are run, each by a test of its own that
// calls follow, or its like, on the whole page.
var pages = map[string]string{
	"README.md":                "TestTheFiveMinutesOfTheReadmeWork",
	"SECURITY.md":              "TestThePagesOnFormatsAndWeaknessesSpeakTheTruth",
	"docs/admin/README.md":     "TestTheAdminGuideSpeaksTheTruth",
	"docs/admin/operations.md": "TestTheAdminGuideSpeaksTheTruth",
	"docs/admin/settings.md":   "TestTheAdminGuideSpeaksTheTruth",
	"docs/admin/keys.md":       "TestThePageOnKeysSpeaksTheTruth",
	"docs/admin/locked-out.md": "TestThePageForThoseWhoAreLockedOutSpeaksTheTruth",
	"docs/admin/postgresql.md": "TestTheGuideToPostgreSQLSpeaksTheTruth",
	"docs/api/README.md":       "TestThePageOnTheAPISpeaksTheTruth",
	"docs/formats/audit.md":    "TestThePagesOnFormatsAndWeaknessesSpeakTheTruth",
	"docs/formats/backup.md":   "TestThePagesOnFormatsAndWeaknessesSpeakTheTruth",
	"docs/formats/lklp.md":     "TestThePagesOnFormatsAndWeaknessesSpeakTheTruth",
	"docs/threat-model.md":     "TestThePagesOnFormatsAndWeaknessesSpeakTheTruth",
	"docs/attack-surface.md":   "TestThePagesOnFormatsAndWeaknessesSpeakTheTruth",
}

// TestThePagesWithCommandsAreKnown: a page that nobody runs grows old unseen.
func TestThePagesWithCommandsAreKnown(t *testing.T) {
	t.Parallel()
	with := map[string]bool{}
	err := filepath.WalkDir(tree, func(path string, d fs.DirEntry, err error) error {
		name, relErr := filepath.Rel(tree, path)
		if err != nil || relErr != nil || strings.HasPrefix(d.Name(), ".") && name != "." {
			if d != nil && d.IsDir() {
				return fs.SkipDir
			}
			return err
		}
		// The contract is a grammar (TestEveryPromisedCommandExists); decisions, figures
		// and what is new tell of their day.
		told := name == "docs/contract.md" || name == "docs/bench.md"
		for _, folder := range []string{"docs/decisions/", "changelog/", "test/"} {
			told = told || strings.HasPrefix(name, folder)
		}
		if filepath.Ext(name) == ".md" && !told && len(typed(read(t, path))) > 0 {
			with[name] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for name := range with {
		if pages[name] == "" {
			t.Errorf("%s has commands, and no test runs them: %q", name, typed(read(t, filepath.Join(tree, name))))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(pages)) {
		if !with[name] {
			t.Errorf("%s has no commands any more", name)
		}
	}
}

var (
	blocks  = regexp.MustCompile("(?ms)^```(\\w*)\n(.*?)^```")
	oneLine = regexp.MustCompile("`([^`\n]+)`")
	program = regexp.MustCompile(`^(?:bin/)?(?:latchkey|latchkey-agent|curl) `)
	// A verb without its program, such as `key retire ID`, is a command too where
	// it is given something.
	verb = regexp.MustCompile(`^(?:admin|audit|authenticator|config|enrollment|key|machine|policy|report|token|user) [a-z -]*[a-z] (?:[A-Z]{2}|--|[a-z]+ --)`)
)

// typed are the command lines of a page in its order: those of blocks in no
// language or a shell's, and those between backticks.
func typed(page string) []string {
	var out []string
	for rest := page; ; {
		block := blocks.FindStringSubmatchIndex(rest)
		text, inside, next := rest, "", ""
		if block != nil {
			text, next = rest[:block[0]], rest[block[1]:]
			if lang := rest[block[2]:block[3]]; lang == "" || lang == "sh" {
				inside = rest[block[4]:block[5]]
			}
		}
		for _, m := range oneLine.FindAllStringSubmatch(text, -1) {
			out = take(out, m[1])
		}
		for line := range strings.Lines(inside) {
			out = take(out, line)
		}
		if rest = next; block == nil {
			return out
		}
	}
}

func take(out []string, line string) []string {
	line, _, _ = strings.Cut(strings.TrimSpace(line), " #")
	line = strings.TrimPrefix(strings.TrimRight(line, " &"), "$ ")
	if strings.Contains(line, "\\") || strings.Contains(line, "…") {
		return out
	}
	if verb.MatchString(line) {
		line = "latchkey " + line
	}
	if program.MatchString(line) {
		out = append(out, strings.TrimPrefix(line, "bin/"))
	}
	return out
}
