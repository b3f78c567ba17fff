package stack

import (
	"fmt"
	"slices"
	"strings"
)

// A State says whether a way into the machine asks for a second factor.
type State string

// The states of a door. The zero value is none of them and never healthy.
const (
	// Protected: nobody comes in without our module's yes.
	Protected State = "protected"
	// Open: our module has no part in it.
	Open State = "open"
	// Wrong: our module is there, and does not do what it is there for.
	Wrong State = "wrong"
	// Outside: nobody logs in by it, or only who is root already.
	Outside State = "outside"
)

// A Door is one way into the machine and what is known about it. Its JSON form
// is stable.
type Door struct {
	Name    string   `json:"name"`
	Kind    string   `json:"kind"` // pam, sshd, sudo, polkit, greeter, console
	State   State    `json:"state"`
	Reasons []string `json:"reasons"` // why it is open or wrong, or why it is no door
	Next    string   `json:"next"`    // what to do about it, "" for nothing
	Notes   []string `json:"notes"`   // what to know about it all the same
}

// A Verdict is the judgement of one PAM stack.
type Verdict struct {
	State   State
	Reasons []string
	Next    string
	Notes   []string
	// Protects: no way to success without our module's yes. Sound: our module
	// is not asked before a first factor is right.
	Protects, Sound bool
	// AccountProtects is Protects for the account phase.
	AccountProtects bool
	// ModuleBad: the module's file is missing, or not root's alone.
	ModuleBad bool
}

// Judge walks through a stack and says what it is worth.
func (t Tree) Judge(s Stack) Verdict {
	if s.Broken != "" {
		return Verdict{State: Wrong, Reasons: []string{"PAM refuses the whole service, nobody gets in: " + s.Broken}, Next: "mend the file"}
	}
	if s.Undefined != "" {
		return Verdict{State: Wrong, Reasons: []string{"it is chance whether PAM lets anybody in by this service: " + s.Undefined}, Next: "mend the file"}
	}
	root := calledByUser(s.Service)
	auth := search(s.Auth, Auth, !root)
	account := search(s.Account, Account, !root)
	v := Verdict{
		Sound:           !auth.full && len(auth.early) == 0,
		AccountProtects: !account.full && len(account.past) == 0,
	}
	j := judgement{tree: t, stack: s, verdict: v}
	j.auth(auth)
	if j.ours(s.Auth) {
		j.account(account)
	}
	j.module()
	j.notes(root)
	return j.conclude()
}

// A judgement is a verdict in the making.
type judgement struct {
	tree    Tree
	stack   Stack
	verdict Verdict
	closed  bool // nobody gets in at all
}

func (j *judgement) wrong(format string, args ...any) {
	j.verdict.Reasons = append(j.verdict.Reasons, fmt.Sprintf(format, args...))
}

func (j *judgement) note(format string, args ...any) {
	j.verdict.Notes = append(j.verdict.Notes, fmt.Sprintf(format, args...))
}

func (j *judgement) ours(lines []Line) bool {
	return slices.ContainsFunc(lines, func(l Line) bool { return l.Ours() })
}

func (j *judgement) auth(p paths) {
	switch {
	case p.full:
		j.wrong("the stack has too many ways through it to be judged")
		return
	case !p.reaches:
		j.closed = true
		j.note("nobody gets in by this service: its auth phase always fails")
		return
	case !j.ours(j.stack.Auth):
		j.wrong("the auth phase does not call %s", Module)
		return
	}
	j.verdict.Protects = true
	for _, b := range p.past {
		if group, empty := j.tree.emptyGroup(j.stack.Auth, b); empty {
			j.note("members of the group %q would come in without a factor; this machine has none", group)
			continue
		}
		j.verdict.Protects = false
		j.wrong("%s", explain(j.stack.Auth, b, "auth"))
	}
	for _, i := range p.early {
		l := j.stack.Auth[i]
		j.wrong("%s asks for the code although no password was right: put it behind a line that ends the stack on a wrong password, else failures are counted against people who never knew theirs", place(l))
	}
}

func (j *judgement) account(p paths) {
	switch {
	case len(j.stack.Account) == 0 || (p.reaches && !j.ours(j.stack.Account) && j.stack.OtherAccount):
		j.note("the account phase is that of %q and does not call %s: people who are disabled are noticed in the auth phase only", other, Module)
	case p.full:
		j.wrong("the account phase has too many ways through it to be judged")
	case !p.reaches:
	case !j.ours(j.stack.Account):
		j.wrong("the account phase does not call %s: an ssh key or a ticket skips the auth phase", Module)
	default:
		for _, b := range p.past {
			j.wrong("%s", explain(j.stack.Account, b, "account"))
		}
	}
}

// explain says in words how a stack is passed without our module.
func explain(lines []Line, b blame, phase string) string {
	if b.line < 0 {
		return fmt.Sprintf("the %s phase has a way to success that does not call %s", phase, Module)
	}
	l := lines[b.line]
	switch b.how {
	case overrule:
		return fmt.Sprintf("%s (%s) lets in although our module said %s", place(l), l.control, b.code)
	case leap:
		return fmt.Sprintf("%s (%s) jumps over our module when it answers %s", place(l), l.control, b.code)
	default:
		return fmt.Sprintf("%s (%s) ends the stack before our module when it answers %s", place(l), l.control, b.code)
	}
}

func place(l Line) string {
	name := strings.Join(append([]string{l.Name()}, l.Args...), " ")
	return fmt.Sprintf("%s:%d %s", l.File, l.Number, name)
}

// module looks at our lines and at the file they name.
func (j *judgement) module() {
	seen := map[string]bool{}
	for _, l := range append(slices.Clone(j.stack.Auth), j.stack.Account...) {
		if !l.Ours() {
			continue
		}
		if a := l.badArgument(); a != "" {
			j.wrong("%s: the module does not know %q and denies everybody", place(l), a)
		}
		if g := l.argument("rescue_group"); g != "" {
			j.noteOnce("standing exemption: members of %q come in at the console without a factor while the agent is dead (rescue_group)", g)
		}
		if a := l.argument("socket"); a != "" {
			j.noteOnce("%s", "the module asks at another socket: "+a)
		}
		if seen[l.Path] {
			continue
		}
		seen[l.Path] = true
		if err := j.tree.CheckModule(l.Path); err != nil {
			j.verdict.ModuleBad = true
			j.wrong("%s: %v", place(l), err)
		}
	}
}

func (j *judgement) noteOnce(format string, args ...any) {
	if s := fmt.Sprintf(format, args...); !slices.Contains(j.verdict.Notes, s) {
		j.verdict.Notes = append(j.verdict.Notes, s)
	}
}

func (j *judgement) notes(calledByUser bool) {
	for _, p := range j.stack.Problems {
		j.wrong("%s", p)
	}
	if calledByUser && slices.ContainsFunc(j.stack.Auth, func(l Line) bool { return l.Name() == "pam_rootok.so" }) {
		j.note("root is not asked (pam_rootok)")
	}
	nullok := slices.ContainsFunc(j.stack.Auth, func(l Line) bool { return slices.Contains(l.Args, "nullok") })
	if nullok && !j.closed && j.stack.Service != "sshd" { // sshd refuses empty passwords itself
		if users := j.tree.emptyPasswords(); len(users) > 0 {
			j.wrong("nullok: %s came in with an empty password", strings.Join(users, ", "))
		}
	}
}

func (j *judgement) conclude() Verdict {
	v := j.verdict
	switch {
	case j.closed && !j.ours(j.stack.Auth):
		v.State, v.Reasons = Protected, nil
		return v
	case len(v.Reasons) == 0:
		v.State = Protected
		return v
	case !j.ours(j.stack.Auth):
		v.State = Open
		v.Next = "latchkey-agent pam enable " + j.enable()
	default:
		v.State = Wrong
		v.Next = fmt.Sprintf("mend %s, then look again: latchkey-agent pam show %s", j.stack.File, j.stack.Service)
	}
	return v
}

// enable names the service whose file has to change.
func (j *judgement) enable() string {
	if j.stack.File == "" || j.stack.OtherAuth {
		return other
	}
	return j.stack.Service
}
