package stack

import (
	"cmp"
	"slices"
)

// A blame says which line led past our module.
type blame struct {
	line int  // its place, -1 for none: there is no line of ours
	code Code // what it answered
	how  how
}

type how int8

const (
	absent   how = iota // nothing led past it: it is not there
	overrule            // our own refusal was not taken for one
	finish              // the line ended the stack before ours
	leap                // the line jumped over ours
)

// A node is a position in the search, with what matters about the way there.
type node struct {
	pos    position
	passed bool // our module said yes
	blame  blame
	factor bool // a first factor was right
	failed bool // a first factor was wrong, and the stack is lost for it
}

// Findings of a search through one phase.
type paths struct {
	past    []blame // ways to success without our module's yes, one of each kind
	early   []int   // lines of ours that are asked although no first factor was right
	reaches bool    // there is a way to success at all
	full    bool    // the search gave up: too many ways
}

// maxNodes bounds a search; real stacks need some hundreds.
const maxNodes = 20_000

// search walks through every way that a stack can take. Lines are taken to be
// independent of each other, so it may see ways that never happen, and misses
// none.
func search(lines []Line, phase Phase, asRoot bool) paths {
	s := searcher{lines: lines, phase: phase, asRoot: asRoot, seen: map[node]bool{}}
	s.push(node{pos: start(), blame: blame{line: -1}})
	for len(s.open) > 0 {
		n := s.open[len(s.open)-1]
		s.open = s.open[:len(s.open)-1]
		s.visit(n)
		if len(s.seen) > maxNodes {
			s.found.full = true
			break
		}
	}
	slices.SortFunc(s.found.past, func(a, b blame) int { return cmp.Compare(a.line, b.line) })
	slices.Sort(s.found.early)
	return s.found
}

type searcher struct {
	lines  []Line
	phase  Phase
	asRoot bool
	seen   map[node]bool
	open   []node
	found  paths
}

func (s *searcher) push(n node) {
	if !s.seen[n] {
		s.seen[n] = true
		s.open = append(s.open, n)
	}
}

func (s *searcher) visit(n node) {
	if n.pos.at >= len(s.lines) {
		s.end(n)
		return
	}
	l := s.lines[n.pos.at]
	if !n.pos.enter(l) {
		n.pos.last = l.level
		n.pos.at++
		s.push(n)
		return
	}
	if l.Ours() && !l.splits() && s.phase == Auth && (!n.factor || n.failed) && !slices.Contains(s.found.early, n.pos.at) {
		s.found.early = append(s.found.early, n.pos.at)
	}
	for _, result := range s.distinct(l) {
		s.push(s.step(n, l, result))
	}
}

// distinct leaves one of the results that the stack treats alike.
func (s *searcher) distinct(l Line) []Code {
	type alike struct {
		act   action
		class Code
	}
	seen := map[alike]bool{}
	var found []Code
	for _, c := range l.results(s.phase, s.asRoot) {
		k := alike{l.actions[c], class(c)}
		if !seen[k] {
			seen[k] = true
			found = append(found, c)
		}
	}
	return found
}

// class puts results together that end alike: what is neither success nor
// "change your password" is a refusal. Ignored is apart because a bad one
// becomes another.
func class(c Code) Code {
	if c == Success || c == NewAuthtokReqd || c == Ignored {
		return c
	}
	return AuthErr
}

func (s *searcher) step(n node, l Line, result Code) node {
	at := n.pos.at
	before := n.pos.now
	n.pos.take(s.lines, class(result), l.act(result))
	if l.factor() {
		n.factor = n.factor || class(result) != AuthErr // who says "ignore me" has no say in this either
		n.failed = n.failed || (before.impression != negative && n.pos.now.impression == negative)
	}
	if l.Ours() && !l.splits() {
		if result == Success {
			n.passed = true
		} else if n.blame.how == absent {
			n.blame = blame{at, result, overrule}
		}
	}
	if n.blame.how == absent && s.oursBetween(at+1, n.pos.at) {
		n.blame = blame{at, result, finish}
		if l.act(result) > 0 {
			n.blame.how = leap
		}
	}
	return n
}

func (s *searcher) oursBetween(from, to int) bool {
	for i := from; i < min(to, len(s.lines)); i++ {
		if s.lines[i].Ours() && !s.lines[i].splits() {
			return true
		}
	}
	return false
}

// end looks at the stack's result. In the account phase "change your password"
// lets in, too: the program asks for a new password and goes on.
func (s *searcher) end(n node) {
	r := n.pos.result()
	if r != Success && (s.phase != Account || r != NewAuthtokReqd) {
		return
	}
	s.found.reaches = true
	if !n.passed && !slices.Contains(s.found.past, n.blame) {
		s.found.past = append(s.found.past, n.blame)
	}
}
