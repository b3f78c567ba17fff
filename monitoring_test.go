package latchkey_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"latchkey"
)

// An alert on a number that nobody counts is silent for ever.
func TestAlertsWatchNumbersThatExist(t *testing.T) {
	t.Parallel()
	counted := map[string]bool{"up": true}
	sources(t, func(_, text string) {
		for _, m := range regexp.MustCompile(`"(latchkey_[a-z_]+)"`).FindAllStringSubmatch(text, -1) {
			for _, suffix := range []string{"", "_bucket", "_count", "_sum"} {
				counted[m[1]+suffix] = true
			}
		}
	})
	rules, page := read(t, "packaging/prometheus/latchkey.rules.yml"), read(t, "docs/admin/operations.md")
	numbers := regexp.MustCompile(`\blatchkey_[a-z_]+\b`)
	for _, name := range append(numbers.FindAllString(rules, -1), numbers.FindAllString(page, -1)...) {
		if !counted[name] {
			t.Errorf("nobody counts %s", name)
		}
	}
	alerts := regexp.MustCompile(`alert: (\w+)`).FindAllStringSubmatch(rules, -1)
	for _, a := range alerts {
		if !strings.Contains(page, "| `"+a[1]+"` |") {
			t.Errorf("docs/admin/operations.md does not say what to do about %s", a[1])
		}
	}
	var reasons []string
	for _, m := range regexp.MustCompile(`reason="([a-z_]+)"`).FindAllStringSubmatch(rules, -1) {
		reasons = append(reasons, m[1])
		if !latchkey.Reason(m[1]).Known() {
			t.Errorf("there is no reason %q", m[1])
		}
	}
	if len(alerts) < 6 || !slices.Contains(reasons, "wrong_code") {
		t.Errorf("only %d alerts on %q were found: the search is broken", len(alerts), reasons)
	}
}
