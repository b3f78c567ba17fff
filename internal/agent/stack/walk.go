package stack

// An impression is what a stack thinks so far.
type impression int8

const (
	negative  impression = -1
	undecided impression = 0
	positive  impression = 1
)

// A view is an impression with the result that would be returned for it.
type view struct {
	impression impression
	status     Code
}

// A position is where a walk through a stack stands. It is comparable and
// small, so that a search can know where it has been.
type position struct {
	at    int // the next line; len(lines) at the end
	last  int // substack level of the line before
	now   view
	saved [maxDepth]view // as it was when each substack was entered
}

// start is where libpam begins: undecided, and a refusal if nothing decides.
func start() position {
	p := position{now: view{undecided, PermDenied}}
	p.saved[0] = p.now
	return p
}

// enter notes the state before a substack and reports whether the line is to
// be run; a substack's own line only marks its beginning.
func (p *position) enter(l Line) (run bool) {
	if p.last < l.level {
		p.saved[l.level] = p.now
	}
	return l.kind != substack
}

// act is what the line makes of a result.
func (l Line) act(result Code) action {
	if result < 0 || int(result) >= codes {
		return bad
	}
	return l.actions[result]
}

// take moves on after the line at p.at returned result, which act was made of.
// It is libpam's _pam_dispatch_aux for one line.
func (p *position) take(lines []Line, result Code, act action) {
	l := lines[p.at]
	h := p.at
	p.last = l.level
	switch act {
	case reset:
		p.now = p.saved[l.level]
	case ok, done:
		if p.now.impression == undecided || p.now == (view{positive, Success}) {
			p.now = view{positive, result}
		}
		if act == done && p.now.impression == positive {
			h = leave(lines, h)
		}
	case bad, die:
		p.refuse(result)
		if act == die {
			h = leave(lines, h)
		}
	case ignore:
	default:
		h = p.jump(lines, h, int(act))
	}
	p.at = h + 1
}

func (p *position) refuse(result Code) {
	if p.now.impression == negative {
		return
	}
	if result == Ignored {
		result = PermDenied
	}
	p.now = view{negative, result}
}

// leave returns the last line of the stack or substack that h is in.
func leave(lines []Line, h int) int {
	level := lines[h].level
	for h+1 < len(lines) && lines[h+1].level >= level {
		h++
	}
	return h
}

// jump passes over n lines, a substack counting as one. One that leads further
// than the stack's end fails it.
func (p *position) jump(lines []Line, h, n int) int {
	level := lines[h].level
	for h+1 < len(lines) && lines[h+1].level >= level && n > 0 {
		h++
		for h+1 < len(lines) && lines[h+1].level > level {
			h++
		}
		n--
	}
	if n > 0 {
		p.now = view{negative, PermDenied}
	}
	return h
}

// result is what the stack returns at its end.
func (p position) result() Code {
	if p.now.status == Success && p.now.impression != positive {
		return PermDenied
	}
	return p.now.status
}

// run walks through a stack; answer gives the result of each module that is
// called, by its place in lines.
func run(lines []Line, answer func(i int) Code) Code {
	p := start()
	for p.at < len(lines) {
		l := lines[p.at]
		if !p.enter(l) {
			p.last = l.level
			p.at++
			continue
		}
		result := PermDenied
		if l.kind == module {
			result = answer(p.at)
		}
		p.take(lines, result, l.act(result))
	}
	return p.result()
}
