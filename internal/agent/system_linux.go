package agent

import (
	"os"
	"strconv"
	"strings"
)

// systemName is the name of the operating system, as it calls itself.
func systemName() string {
	raw, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return "Linux"
	}
	for line := range strings.Lines(string(raw)) {
		v, ok := strings.CutPrefix(strings.TrimSpace(line), "PRETTY_NAME=")
		if !ok {
			continue
		}
		if u, err := strconv.Unquote(v); err == nil {
			v = u
		}
		if v != "" && len(v) <= 100 {
			return v
		}
	}
	return "Linux"
}
