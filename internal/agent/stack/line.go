package stack

import (
	"errors"
	"path"
	"slices"
	"strings"
)

// A Phase is one of the two questions that PAM answers about a person coming
// in. Sessions and password changes let nobody in.
type Phase string

// The phases that are looked at.
const (
	Auth    Phase = "auth"
	Account Phase = "account"
)

// A Line is one line of a stack, where it came from and what libpam does with
// it.
type Line struct {
	File   string // the machine's path
	Number int    // from 1, of the line's first part
	Text   string // as written, continuations joined
	Path   string // the module as written, "" where the line names none
	Args   []string

	kind    kind
	level   int // of substacks
	actions actions
	control string // as written, for the eye
}

type kind int

const (
	mustFail kind = iota // libpam does not understand the line and fails it
	module
	substack
)

// Name is the module's file name.
func (l Line) Name() string {
	if l.Path == "" {
		return ""
	}
	return path.Base(l.Path)
}

// Ours reports whether the line calls our module.
func (l Line) Ours() bool { return l.kind == module && l.Name() == Module }

// splits reports whether the line only takes the code off the password and
// judges nothing.
func (l Line) splits() bool {
	return l.Ours() && slices.ContainsFunc(l.Args, func(a string) bool { return strings.HasPrefix(a, "split=") })
}

// A rawLine is a line of a file with its continuations.
type rawLine struct {
	number, last int // the first and last line in the file, from 1
	text         string
}

var errUnfinished = errors.New("ends inside a continued line")

// assemble joins continued lines and drops comments, as libpam does: a # ends
// the line wherever it stands, empty lines and comments inside a continuation
// count for nothing, and a file that ends inside one is no good as a whole.
func assemble(data []byte) ([]rawLine, error) {
	var found []rawLine
	var parts []string
	first := 0
	for i, line := range strings.Split(string(data), "\n") {
		text, comment := strings.Trim(line, blank), false
		if text == "" || text[0] == '#' {
			continue
		}
		if text, _, comment = strings.Cut(text, "#"); comment {
			text = strings.TrimRight(text, blank)
		}
		if parts == nil {
			first = i + 1
		}
		rest, goesOn := strings.CutSuffix(text, `\`)
		if goesOn && !comment {
			parts = append(parts, rest)
			continue
		}
		found = append(found, rawLine{number: first, last: i + 1, text: strings.Join(append(parts, text), " ")})
		parts = nil
	}
	if parts != nil {
		return nil, errUnfinished
	}
	return found, nil
}

// blank separates the words of a line. A carriage return does not.
const blank = " \t\n"

// words cuts a line into words. What stands in brackets is one word, without
// them; \] inside is a bracket.
func words(s string) []string {
	var found []string
	for {
		s = strings.TrimLeft(s, blank)
		if s == "" {
			return found
		}
		var word string
		if s[0] == '[' {
			word, s = bracketed(s[1:])
		} else if i := strings.IndexAny(s, blank); i >= 0 {
			word, s = s[:i], s[i+1:]
		} else {
			word, s = s, ""
		}
		found = append(found, word)
	}
}

func bracketed(s string) (word, rest string) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == ']' {
			return b.String(), s[i+1:]
		}
		if s[i] == '\\' && i+1 < len(s) && s[i+1] == ']' {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String(), ""
}

// display is the control as a person would write it.
func display(control string) string {
	if strings.ContainsAny(control, "= \t") {
		return "[" + control + "]"
	}
	return control
}
