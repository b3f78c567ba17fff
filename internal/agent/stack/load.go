package stack

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"syscall"
)

// A Stack is what libpam makes of one service.
type Stack struct {
	Service string
	File    string // "" where the service has none and gets that of "other"
	Auth    []Line
	Account []Line
	// OtherAuth and OtherAccount: the phase has no line of its own and comes
	// from the service "other".
	OtherAuth, OtherAccount bool
	// Broken says why libpam refuses the whole service; nobody gets in by it.
	Broken string
	// Undefined says why nobody knows what libpam makes of the service.
	Undefined string
	// Problems are lines that libpam fails or ignores.
	Problems []string
	// Included are the files that the service's own file pulls in.
	Included []string
}

// maxDepth is how deep libpam follows includes.
const maxDepth = 16

const other = "other"

// Load reads the stack of a service. Files that cannot be read make it broken,
// which is not an error: libpam would say the same.
func (t Tree) Load(service string) Stack {
	service = strings.ToLower(path.Base(service)) // as pam_start(3) does
	own := t.loadOnly(service)
	if service == other || own.Broken != "" {
		return own
	}
	rest := t.loadOnly(other)
	if rest.File != "" && rest.Broken != "" {
		own.Broken = rest.Broken // libpam reads it for every service
		return own
	}
	if len(own.Auth) == 0 {
		own.Auth, own.OtherAuth = rest.Auth, true
	}
	if len(own.Account) == 0 {
		own.Account, own.OtherAccount = rest.Account, true
	}
	if own.OtherAuth || own.OtherAccount {
		own.Problems = append(own.Problems, rest.Problems...)
		own.Undefined = cmp.Or(own.Undefined, rest.Undefined)
	}
	return own
}

// loadOnly reads a service without falling back to "other".
func (t Tree) loadOnly(service string) Stack {
	l := loader{tree: t, stack: Stack{Service: service}}
	file, data, err := t.find(service)
	if errors.Is(err, fs.ErrNotExist) {
		return l.stack
	}
	l.stack.File = file
	if err == nil {
		err = l.file(file, data, "", 0, 0)
	}
	if err != nil {
		l.stack.Broken = err.Error()
		l.stack.Auth, l.stack.Account = nil, nil
	}
	return l.stack
}

// find returns the file of a service or of an include.
func (t Tree) find(name string) (file string, data []byte, err error) {
	if path.IsAbs(name) {
		data, err = t.readPAM(name)
		return name, data, err
	}
	for _, dir := range t.pamDirs() {
		file = path.Join(dir, name)
		if data, err = t.readPAM(file); !errors.Is(err, fs.ErrNotExist) {
			return file, data, err
		}
	}
	return file, nil, err
}

// readPAM reads a file as libpam does, to which a folder is an empty file.
func (t Tree) readPAM(name string) ([]byte, error) {
	data, err := t.read(name)
	if errors.Is(err, syscall.EISDIR) {
		return nil, nil
	}
	return data, err
}

// A loader collects the lines of one service.
type loader struct {
	tree  Tree
	stack Stack
	lines int
}

// maxLines bounds the work on files that include each other many times.
const maxLines = 4096

// file takes the lines of one file; only is the phase that an include asked
// for, "" for all.
func (l *loader) file(name string, data []byte, only Phase, depth, level int) error {
	raws, err := assemble(data)
	if err != nil {
		return fmt.Errorf("%s %w", name, err)
	}
	for _, raw := range raws {
		if l.lines++; l.lines > maxLines {
			return fmt.Errorf("%s: more than %d lines with all includes", name, maxLines)
		}
		if err := l.line(name, raw, only, depth, level); err != nil {
			return err
		}
	}
	return nil
}

// longest is the longest line that every libpam in use can read.
const longest = 1000

func (l *loader) line(file string, raw rawLine, only Phase, depth, level int) error {
	if strings.ContainsRune(raw.text, 0) || len(raw.text) > longest {
		return fmt.Errorf("%s:%d is longer than %d bytes or not text", file, raw.number, longest)
	}
	w := words(raw.text)
	if len(w) == 0 {
		return nil
	}
	typ := strings.ToLower(strings.TrimPrefix(w[0], "-"))
	if typ == "@include" {
		return l.atInclude(file, raw, w, only, depth, level)
	}
	line := Line{File: file, Number: raw.number, Text: raw.text, level: level, actions: all(bad)}
	phase := Phase(typ)
	kind := module
	switch typ {
	case "auth", "account":
	case "session", "password":
		return nil
	default: // libpam makes it fail, and where it hurts most
		l.problem(line, "no such type of line")
		kind, phase = mustFail, Auth
		if only != "" {
			phase = only
		}
	}
	if only != "" && phase != only {
		return nil
	}
	l.typed(line, kind, phase, w[1:], depth)
	return nil
}

// typed takes a line of a known phase; w are its words after the type.
func (l *loader) typed(line Line, kind kind, phase Phase, w []string, depth int) {
	if len(w) == 0 {
		l.problem(line, "no control")
		l.add(phase, line)
		return
	}
	line.control = display(w[0])
	word := strings.ToLower(w[0])
	if word == "include" || word == "substack" { // also behind a type that is none
		l.include(line, phase, word == "substack", w[1:], depth)
		return
	}
	set, known := keyword(w[0])
	if !known {
		var err error
		if set, err = parseControl(w[0]); err != nil {
			l.problem(line, err.Error())
		}
	}
	line.actions = set
	if len(w) == 1 {
		l.problem(line, "no module")
		l.add(phase, line)
		return
	}
	line.kind, line.Path, line.Args = kind, w[1], w[2:]
	l.add(phase, line)
}

// include takes "include" and "substack", which pull in the lines of one
// phase. One that cannot be read fails like a required module.
func (l *loader) include(line Line, phase Phase, sub bool, w []string, depth int) {
	level := line.level
	if sub {
		level++
		marker := line
		marker.kind = substack
		l.add(phase, marker)
	}
	err := errors.New("no file named")
	if len(w) > 0 {
		err = l.pull(w[0], phase, depth, level)
	}
	if err != nil {
		l.problem(line, err.Error())
		l.add(phase, line)
	}
}

// atInclude takes Debian's @include, which pulls in all phases. One that
// cannot be read breaks the service. Inside an include of one phase libpam puts
// a line in its place and forgets to say what that line's answers mean: it acts
// on what lies in memory there, and was seen to let in and to refuse.
func (l *loader) atInclude(file string, raw rawLine, w []string, only Phase, depth, level int) error {
	err := errors.New("includes no file")
	if len(w) > 1 {
		err = l.pull(w[1], only, depth, level)
	}
	if err == nil {
		return nil
	}
	err = fmt.Errorf("%s:%d: %w", file, raw.number, err)
	if only != "" {
		l.stack.Undefined = err.Error()
		return nil
	}
	return err
}

func (l *loader) pull(name string, phase Phase, depth, level int) error {
	if depth+1 >= maxDepth {
		return fmt.Errorf("includes more than %d files deep", maxDepth)
	}
	file, data, err := l.tree.find(name)
	if err != nil {
		return err
	}
	l.stack.Included = append(l.stack.Included, file)
	return l.file(file, data, phase, depth+1, level)
}

func (l *loader) add(phase Phase, line Line) {
	if phase == Account {
		l.stack.Account = append(l.stack.Account, line)
		return
	}
	l.stack.Auth = append(l.stack.Auth, line)
}

func (l *loader) problem(line Line, why string) {
	l.stack.Problems = append(l.stack.Problems, fmt.Sprintf("%s:%d: %s", line.File, line.Number, why))
}
