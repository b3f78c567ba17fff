package bugreport

import (
	"regexp"
	"strings"
)

var (
	pemBegin = regexp.MustCompile(`-{4,5} ?BEGIN [A-Z0-9 ]+-{4,5}`)
	pemEnd   = regexp.MustCompile(`-{4,5} ?END [A-Z0-9 ]+-{4,5}`)
	// pemLine is a line of a key, pemHeader what may stand before them.
	pemLine   = regexp.MustCompile(`^[A-Za-z0-9+/=_-]*$`)
	pemHeader = regexp.MustCompile(`^(Proc-Type|DEK-Info|Comment|Subject|Version|X-[A-Za-z-]+): `)
)

// Bounds of a key: one that ends further away has lost its end.
const (
	pemBytes = 64 << 10
	pemLines = 600
)

// hidePEM replaces keys. One whose end is missing ends where the lines do that
// could be a key's.
func hidePEM(text string) string {
	var out strings.Builder
	for {
		begin := pemBegin.FindStringIndex(text)
		if begin == nil {
			return out.String() + text
		}
		end := wholePEM(text, begin[1])
		if end < 0 {
			end = cutPEM(text, begin[0], begin[1])
		}
		out.WriteString(text[:begin[0]] + hidden)
		text = text[end:]
	}
}

// wholePEM is where a key ends, -1 where another one begins before it does.
func wholePEM(text string, at int) int {
	rest := text[at:min(len(text), at+pemBytes)]
	if next := pemBegin.FindStringIndex(rest); next != nil {
		rest = rest[:next[0]]
	}
	end := pemEnd.FindStringIndex(rest)
	if end == nil {
		return -1
	}
	return at + end[1]
}

// cutPEM is where the lines end that could be a key's. The first one ends with
// a string, where the key stands in one.
func cutPEM(text string, begin, at int) int {
	column := begin - 1 - strings.LastIndexByte(text[:begin], '\n')
	end := at + len(line1(text[at:]))
	if quote := strings.IndexByte(text[at:end], '"'); quote >= 0 {
		if strings.Trim(text[at+quote:end], "\", \t\r") != "" {
			return at + quote // more follows in a document
		}
	}
	for range pemLines {
		if end >= len(text) {
			break
		}
		next := line1(text[end+1:])
		if !ofKey(next, column) {
			break
		}
		end += 1 + len(next)
	}
	return end
}

// line1 is the first line of a text.
func line1(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

// ofKey judges a line as it is, behind what a log puts before each, and in the
// column of the key's header.
func ofKey(line string, column int) bool {
	forms := []string{line, syslog.ReplaceAllString(line, "")}
	if column < len(line) {
		forms = append(forms, line[column:])
	}
	for _, f := range forms {
		f = strings.Trim(f, "\"', \t\r")
		if pemLine.MatchString(f) || pemHeader.MatchString(f) {
			return true
		}
	}
	return false
}
