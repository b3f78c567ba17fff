package stack

import (
	"fmt"
	"path"
	"strconv"
	"strings"
)

const sudoers = "/etc/sudoers"

// SudoDoor looks for ways of sudo around its PAM service. The second value is
// false where the machine has no sudo.
func (t Tree) SudoDoor() (Door, bool) {
	d := Door{Name: "sudoers", Kind: "sudo", State: Protected}
	r := sudoReader{tree: t, door: &d}
	if !t.exists(sudoers) {
		return d, false
	}
	if err := r.file(sudoers, 0); err != nil {
		r.wrong(Wrong, "%v", err)
	}
	if !r.timeout {
		d.Notes = append(d.Notes, "timestamp_timeout is not set: sudo asks again only after its own 15 minutes on the same terminal")
	}
	if d.State != Protected && d.Next == "" {
		d.Next = "change it with visudo"
	}
	return d, true
}

type sudoReader struct {
	tree    Tree
	door    *Door
	timeout bool // timestamp_timeout is set
}

func (r *sudoReader) wrong(state State, format string, args ...any) {
	if r.door.State != Open {
		r.door.State = state
	}
	r.door.Reasons = append(r.door.Reasons, fmt.Sprintf(format, args...))
}

func (r *sudoReader) file(name string, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("%s: includes more than %d files deep", name, maxDepth)
	}
	data, err := r.tree.read(name)
	if err != nil {
		return err
	}
	text := strings.ReplaceAll(string(data), "\\\n", " \x00")
	n := 1
	for line := range strings.SplitSeq(text, "\n") {
		joined := strings.Count(line, "\x00")
		if err := r.line(fmt.Sprintf("%s:%d", name, n), strings.ReplaceAll(line, "\x00", ""), depth); err != nil {
			return err
		}
		n += 1 + joined
	}
	return nil
}

func (r *sudoReader) line(at, line string, depth int) error {
	line = strings.TrimSpace(line)
	f := strings.Fields(line)
	if len(f) == 0 {
		return nil
	}
	switch f[0] {
	case "@include", "#include":
		if len(f) == 2 {
			return r.file(absolute(f[1]), depth+1)
		}
		return nil
	case "@includedir", "#includedir":
		if len(f) == 2 {
			return r.dir(absolute(f[1]), depth+1)
		}
		return nil
	}
	if line[0] == '#' && !uidUser(line) {
		return nil
	}
	line = withoutComment(line)
	if strings.HasPrefix(f[0], "Defaults") {
		r.defaults(at, strings.TrimSpace(strings.TrimPrefix(line, f[0])))
		return nil
	}
	r.spec(at, f[0], line)
	return nil
}

func absolute(name string) string {
	name = strings.Trim(name, `"`)
	if path.IsAbs(name) {
		return name
	}
	return path.Join("/etc", name)
}

// uidUser reports whether a line that starts with # names a uid.
func uidUser(line string) bool { return len(line) > 1 && line[1] >= '0' && line[1] <= '9' }

func withoutComment(line string) string {
	for i := 1; i < len(line); i++ {
		if line[i] == '#' && line[i-1] != '\\' && (i+1 == len(line) || line[i+1] < '0' || line[i+1] > '9') {
			return line[:i]
		}
	}
	return line
}

func (r *sudoReader) dir(name string, depth int) error {
	names, err := r.tree.names(name)
	if err != nil {
		return err
	}
	for _, n := range names {
		if strings.HasSuffix(n, "~") || strings.Contains(n, ".") { // sudoers(5): skipped
			continue
		}
		if err := r.file(path.Join(name, n), depth); err != nil {
			return err
		}
	}
	return nil
}

// spec looks at a rule of who may do what.
func (r *sudoReader) spec(at, who, line string) {
	if who == "root" || strings.HasSuffix(who, "_Alias") {
		return
	}
	if strings.Contains(line, "NOPASSWD:") || strings.Contains(line, "NOPASSWD ") {
		r.wrong(Open, "%s: NOPASSWD for %s: sudo asks for nothing", at, who)
	}
}

func (r *sudoReader) defaults(at, settings string) {
	for s := range strings.SplitSeq(settings, ",") {
		key, value, _ := strings.Cut(strings.TrimSpace(s), "=")
		key, value = strings.TrimSpace(strings.TrimSuffix(key, "+")), strings.Trim(strings.TrimSpace(value), `"`)
		switch key {
		case "!authenticate":
			r.wrong(Open, "%s: !authenticate: sudo asks for nothing", at)
		case "exempt_group":
			r.wrong(Open, "%s: members of %s are asked for nothing (exempt_group)", at, value)
		case "!pam_acct_mgmt":
			r.wrong(Wrong, "%s: !pam_acct_mgmt: people who are disabled are not refused", at)
		case "pam_service", "pam_login_service":
			r.door.Notes = append(r.door.Notes, fmt.Sprintf("%s: sudo uses the PAM service %s", at, value))
		case "timestamp_type":
			r.door.Notes = append(r.door.Notes, fmt.Sprintf("%s: timestamp_type=%s", at, value))
		case "timestamp_timeout", "!timestamp_timeout":
			r.timestamp(at, value)
		}
	}
}

func (r *sudoReader) timestamp(at, value string) {
	r.timeout = true
	minutes, err := strconv.ParseFloat(value, 64)
	switch {
	case value == "": // "!timestamp_timeout" is 0
	case err != nil:
		r.wrong(Wrong, "%s: timestamp_timeout=%s is no number", at, value)
	case minutes < 0:
		r.wrong(Wrong, "%s: timestamp_timeout=%s: once asked, sudo never asks again", at, value)
	case minutes > 0:
		r.door.Notes = append(r.door.Notes, fmt.Sprintf("%s: sudo asks again after %s minutes on the same terminal", at, value))
	}
}
