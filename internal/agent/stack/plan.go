package stack

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
)

// Options are what the lines that Enable writes say.
type Options struct {
	// RescueGroup is let in at the console while the agent is dead, "" for
	// nobody.
	RescueGroup string
	// Split is how many characters of the one field are the code, for programs
	// that have a single field; 0 for all others.
	Split int
	// Socket is where the module asks, "" for its own default.
	Socket string
	// Module is the module's file, "" for its name in the system's folder.
	Module string
}

// A Change is a file before and after.
type Change struct {
	File    string // the machine's path
	Existed bool   // before
	Remove  bool   // after
	Before  []byte
	After   []byte
	Mode    fs.FileMode
	UID     int // -1 for who runs this
	GID     int
}

// A Plan is what would be changed. Nothing is until Keeper.Apply.
type Plan struct {
	Changes []Change
	// Notes are for the person who decides.
	Notes []string
}

var (
	// ErrNoService: there is no file of that name.
	ErrNoService = errors.New("no such PAM service")
	// ErrLink: the file is a link, so another file would be changed.
	ErrLink = errors.New("is a link")
	// ErrNoPlace: our line would protect nothing, or be asked too early,
	// wherever it is put.
	ErrNoPlace = errors.New("no place for our line")
	// ErrOneField: the program can show a single field.
	ErrOneField = errors.New("shows a single field: use --split")
)

// PlanEnable says what has to change for the services to be protected. Each
// service gets lines in its own file, so that no service changes that was not
// named, except those that include it, which the notes tell.
func (t Tree) PlanEnable(services []string, o Options) (Plan, error) {
	p := planner{tree: t.with(nil)}
	p.sort(services)
	for _, s := range p.services {
		if err := p.enable(s, o); err != nil {
			return Plan{}, fmt.Errorf("planning %s: %w", s, err)
		}
	}
	if slices.Contains(p.services, "sshd") {
		if err := p.sshd(); err != nil {
			return Plan{}, err
		}
	}
	return p.plan, p.regress(t)
}

// PlanDisable says what has to change for the services to be as they were
// before: exactly our lines go.
func (t Tree) PlanDisable(services []string) (Plan, error) {
	p := planner{tree: t.with(nil)}
	p.sort(services)
	for _, s := range p.services {
		c, err := p.own(s)
		if err == nil {
			err = p.strip(c)
		}
		if err != nil {
			return Plan{}, fmt.Errorf("planning %s: %w", s, err)
		}
	}
	if slices.Contains(p.services, "sshd") {
		if err := p.dropSSHD(); err != nil {
			return Plan{}, err
		}
	}
	return p.plan, nil
}

// with is the tree with a file as it will be.
func (t Tree) with(c *Change) Tree {
	over := map[string][]byte{}
	for name, data := range t.over {
		over[name] = data
	}
	switch {
	case c == nil:
	case c.Remove:
		over[c.File] = nil
	default:
		over[c.File] = append([]byte{}, c.After...)
	}
	t.over = over
	return t
}

type planner struct {
	tree     Tree // with the plan so far
	services []string
	plan     Plan
}

// sort puts a service before those that include it, which may then need
// nothing of their own.
func (p *planner) sort(services []string) {
	p.services = slices.Clone(services)
	slices.Sort(p.services)
	p.services = slices.Compact(p.services)
	slices.SortStableFunc(p.services, func(a, b string) int {
		return len(p.tree.loadOnly(a).Included) - len(p.tree.loadOnly(b).Included)
	})
}

func (p *planner) add(c Change) {
	p.plan.Changes = append(p.plan.Changes, c)
	p.tree = p.tree.with(&c)
}

func (p *planner) note(format string, args ...any) {
	p.plan.Notes = append(p.plan.Notes, fmt.Sprintf(format, args...))
}

// own returns the service's own file, as it is and unchanged. A service that
// only its vendor has gets a copy that hides the vendor's.
func (p *planner) own(service string) (Change, error) {
	if service == "" || service != path.Base(service) || strings.HasPrefix(service, ".") {
		return Change{}, fmt.Errorf("%w: %q", ErrNoService, service)
	}
	c := Change{File: path.Join(p.tree.pamDirs()[0], service), Mode: 0o644, UID: -1, GID: -1}
	info, err := os.Lstat(p.tree.plainPath(c.File))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		_, data, err := p.tree.find(service)
		if err != nil {
			return Change{}, fmt.Errorf("%w: %q", ErrNoService, service)
		}
		c.After = data
		return c, nil
	case err != nil:
		return Change{}, plain(err)
	case info.Mode()&fs.ModeSymlink != 0:
		target, _ := os.Readlink(p.tree.plainPath(c.File))
		return Change{}, fmt.Errorf("%s %w to %s: change that one, with the tool that made the link", c.File, ErrLink, target)
	case !info.Mode().IsRegular():
		return Change{}, fmt.Errorf("%s is no plain file", c.File)
	}
	c.Before, err = p.tree.read(c.File)
	c.After, c.Existed, c.Mode = c.Before, true, info.Mode().Perm()
	c.UID, c.GID = owner(info)
	return c, err
}

// enable puts our lines where they protect and are not asked too early.
func (p *planner) enable(service string, o Options) error {
	if why := p.tree.noDoor(service); why != "" {
		return fmt.Errorf("is no way in: %s", why)
	}
	if OneField(service) && o.Split == 0 {
		return ErrOneField
	}
	c, err := p.own(service)
	if err != nil {
		return err
	}
	v := p.tree.judgeService(service)
	if good := v.State == Protected || v.ModuleBad && len(v.Reasons) == 1; good && v.Protects && p.says(service, o) {
		p.note("%s is protected already", service)
		return nil
	}
	return p.place(c, service, o)
}

// says reports whether a protected service needs no other arguments.
func (p *planner) says(service string, o Options) bool {
	s := p.tree.Load(service)
	return !slices.ContainsFunc(s.Auth, func(l Line) bool {
		return l.Ours() && (l.argument("rescue_group") != o.RescueGroup || l.argument("socket") != o.Socket)
	})
}

// place tries each place behind a line of the auth phase, the first that is
// good counts.
func (p *planner) place(c Change, service string, o Options) error {
	base, err := withoutOurs(c.After)
	if err != nil {
		return err
	}
	parts, err := p.tree.parts(c.File, base)
	if err != nil {
		return err
	}
	why := "it has no auth phase"
	for _, at := range parts {
		if !at.auth {
			continue
		}
		c.After = insert(base, parts, at, o)
		v := p.tree.with(&c).judgeService(service)
		if v.Protects && v.Sound && (v.AccountProtects || !hasAccount(parts)) {
			p.put(c, service)
			return nil
		}
		why = strings.Join(v.Reasons, "; ")
	}
	return fmt.Errorf("%w in %s: %s", ErrNoPlace, c.File, why)
}

// put adds a change that is one.
func (p *planner) put(c Change, service string) {
	if c.Existed && bytes.Equal(c.Before, c.After) {
		p.note("%s has our lines already", service)
		return
	}
	p.add(c)
}

func hasAccount(parts []part) bool {
	return slices.ContainsFunc(parts, func(p part) bool { return p.account })
}

func (t Tree) judgeService(service string) Verdict { return t.Judge(t.Load(service)) }

// A part is a line of a file that adds to a phase.
type part struct {
	rawLine
	auth, account bool
}

func (t Tree) parts(file string, data []byte) ([]part, error) {
	raws, err := assemble(data)
	if err != nil {
		return nil, fmt.Errorf("%s %w", file, err)
	}
	var found []part
	for _, raw := range raws {
		l := loader{tree: t}
		if err := l.line(file, raw, "", 0, 0); err != nil {
			return nil, err
		}
		found = append(found, part{raw, len(l.stack.Auth) > 0, len(l.stack.Account) > 0})
	}
	return found, nil
}

// strip takes our lines out of a file. A copy that is then the vendor's again
// goes.
func (p *planner) strip(c Change) error {
	if !c.Existed {
		return nil // we never wrote to it
	}
	var err error
	if c.After, err = withoutOurs(c.Before); err != nil {
		return err
	}
	if bytes.Equal(c.After, c.Before) {
		return nil
	}
	if p.tree.PAM == "" {
		vendor, err := p.tree.read(path.Join(vendorPAMDir, path.Base(c.File)))
		c.Remove = err == nil && bytes.Equal(vendor, c.After)
	}
	p.add(c)
	return nil
}

// regress refuses a plan that takes protection from a service, and tells of
// those that change with another.
func (p *planner) regress(before Tree) error {
	services, err := before.Services()
	if err != nil {
		return err
	}
	for _, s := range services {
		if before.noDoor(s) != "" || slices.Contains(p.services, s) {
			continue
		}
		was, is := before.judgeService(s), p.tree.judgeService(s)
		if was.State == Protected && is.State != Protected {
			return fmt.Errorf("%s would be %s: %s", s, is.State, strings.Join(is.Reasons, "; "))
		}
		if was.State != is.State {
			p.note("%s includes a changed file and will be %s", s, is.State)
		}
	}
	return nil
}

// plainPath is where a file of the machine is, links not followed.
func (t Tree) plainPath(name string) string { return joinRoot(t.Root, name) }
