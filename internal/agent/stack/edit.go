package stack

import (
	"bytes"
	"cmp"
	"fmt"
	"path/filepath"
	"strings"
)

func joinRoot(root, name string) string { return filepath.Join(root, filepath.FromSlash(name)) }

// lines are the words of our lines.
func (o Options) line(phase Phase, split bool) string {
	words := []string{string(phase), "required", cmp.Or(o.Module, Module)}
	if split {
		words = append(words, fmt.Sprintf("split=%d", o.Split))
		words[1] = "[cred_unavail=ignore default=die]"
	} else if o.RescueGroup != "" {
		words = append(words, "rescue_group="+o.RescueGroup)
	}
	if o.Socket != "" {
		words = append(words, "socket="+o.Socket)
	}
	return strings.Join(words[:3], "\t") + strings.TrimRight(" "+strings.Join(words[3:], " "), " ")
}

// insert puts our lines into a file: the auth line behind the part at, the
// account line before all others of its phase (one of them may end it early,
// as Debian's does for passwords that have to be changed), and the splitting
// line before all others of the auth phase. A file without an account phase
// gets none: a phase of our line alone would take the place of that of
// "other".
func insert(base []byte, parts []part, at part, o Options) []byte {
	text := physical(base)
	before := map[int]string{} // by physical line, from 1
	first := func(has func(part) bool) int {
		for _, p := range parts {
			if has(p) {
				return p.number
			}
		}
		return 0
	}
	if n := first(func(p part) bool { return p.account }); n > 0 {
		before[n] = o.line(Account, false) + "\n"
	}
	if n := first(func(p part) bool { return p.auth }); n > 0 && o.Split > 0 {
		before[n] += o.line(Auth, true) + "\n"
	}
	var b bytes.Buffer
	for i, line := range text {
		b.WriteString(before[i+1])
		b.WriteString(line)
		if i+1 != at.last {
			continue
		}
		if strings.HasSuffix(line, "\n") {
			b.WriteString(o.line(Auth, false) + "\n")
		} else { // the file ends without a newline, and does so again
			b.WriteString("\n" + o.line(Auth, false))
		}
	}
	return b.Bytes()
}

// physical cuts a file into lines with their ends.
func physical(data []byte) []string {
	lines := strings.SplitAfter(string(data), "\n")
	if lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	return lines
}

// withoutOurs takes exactly the lines that call our module out of a file.
func withoutOurs(data []byte) ([]byte, error) {
	raws, err := assemble(data)
	if err != nil {
		return nil, err
	}
	drop := map[int]bool{}
	for _, raw := range raws {
		if callsUs(words(raw.text)) {
			for n := raw.number; n <= raw.last; n++ {
				drop[n] = true
			}
		}
	}
	text := physical(data)
	var b bytes.Buffer
	for i, line := range text {
		if !drop[i+1] {
			b.WriteString(line)
		}
	}
	out := b.Bytes()
	if n := len(text); n > 0 && drop[n] && !strings.HasSuffix(text[n-1], "\n") {
		out = bytes.TrimSuffix(out, []byte("\n"))
	}
	return out, nil
}

func callsUs(w []string) bool {
	return len(w) > 2 && filepath.Base(w[2]) == Module
}
