package latchkey_test

import (
	"regexp"
	"strings"
	"testing"
)

// The threat model looks at every adversary with every factor and every class of
// keys: a combination that nobody thought of is the one that is missing.
func TestTheThreatModelLeavesNoCombinationOut(t *testing.T) {
	t.Parallel()
	_, matrix, found := strings.Cut(read(t, "docs/threat-model.md"), "\n## The matrix\n")
	if !found {
		t.Fatal("docs/threat-model.md has no matrix")
	}
	rows := map[string][]string{}
	for line := range strings.Lines(matrix) {
		if cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | "); len(cells) == 5 {
			rows[strings.TrimSpace(cells[0])+", "+cells[1]] = cells[2:]
		}
	}
	says := regexp.MustCompile("`Test[A-Z]\\w+`|\\*not yet\\*|\\*accepted\\*|\\*as S\\*")
	for _, who := range []string{"disk thief", "laptop thief", "local root", "other local user", "hostile machine", "network", "help desk", "server thief"} {
		for _, factor := range []string{"TOTP", "HOTP", "security key", "long codes"} {
			cells, ok := rows[who+", "+factor]
			if !ok {
				t.Errorf("%s with %s is not in the matrix", who, factor)
				continue
			}
			for i, c := range cells {
				if !says.MatchString(c) {
					t.Errorf("%s with %s, class %c: neither a test nor \"not yet\" nor \"accepted\": %q", who, factor, "SVT"[i], c)
				}
			}
			if strings.Contains(cells[0], "*as S*") {
				t.Errorf("%s with %s: class S is as S", who, factor)
			}
		}
	}
}
