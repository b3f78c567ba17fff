package stack

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
)

// emptyPasswords lists the local accounts that have an empty password. Without
// the right to read them there are none to tell of.
func (t Tree) emptyPasswords() []string {
	data, err := t.read("/etc/shadow")
	if err != nil {
		return nil
	}
	var found []string
	for line := range strings.Lines(string(data)) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) > 2 && f[0] != "" && f[1] == "" {
			found = append(found, f[0])
		}
	}
	return found
}

// emptyGroup reports whether a way past our module is only for members of a
// group that has none: "sufficient pam_succeed_if.so user ingroup NAME", as
// greeters ship it for logins without a password.
func (t Tree) emptyGroup(lines []Line, b blame) (group string, empty bool) {
	if b.line < 0 || lines[b.line].Name() != "pam_succeed_if.so" || b.code != Success {
		return "", false
	}
	var test []string
	for _, a := range lines[b.line].Args {
		if !slices.Contains([]string{"quiet", "quiet_success", "quiet_fail", "debug", "audit"}, a) {
			test = append(test, a)
		}
	}
	if len(test) != 3 || test[0] != "user" || test[1] != "ingroup" {
		return "", false
	}
	return test[2], t.groupEmpty(test[2])
}

// groupEmpty reports whether nobody is in a group by the machine's own files.
// A machine that also asks a directory cannot say so.
func (t Tree) groupEmpty(name string) bool {
	if !t.localGroupsOnly() {
		return false
	}
	gid, members, found, err := t.group(name)
	if err != nil {
		return false
	}
	if !found {
		return true
	}
	users, err := t.read("/etc/passwd")
	if err != nil || members != "" {
		return false
	}
	for line := range strings.Lines(string(users)) {
		if f := strings.Split(strings.TrimSpace(line), ":"); len(f) > 3 && f[3] == gid {
			return false
		}
	}
	return true
}

func (t Tree) group(name string) (gid, members string, found bool, err error) {
	data, err := t.read("/etc/group")
	if err != nil {
		return "", "", false, err
	}
	for line := range strings.Lines(string(data)) {
		if f := strings.Split(strings.TrimSpace(line), ":"); len(f) == 4 && f[0] == name {
			return f[2], f[3], true, nil
		}
	}
	return "", "", false, nil
}

func (t Tree) localGroupsOnly() bool {
	data, err := t.read("/etc/nsswitch.conf")
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(data)) {
		sources, ok := strings.CutPrefix(strings.TrimSpace(line), "group:")
		if !ok {
			continue
		}
		return !slices.ContainsFunc(strings.Fields(sources), func(s string) bool {
			return s != "files" && s != "systemd" && s != "compat"
		})
	}
	return false
}

// moduleDirs are where distributions keep PAM modules.
var moduleDirs = []string{
	"/usr/lib/x86_64-linux-gnu/security", "/usr/lib/aarch64-linux-gnu/security", "/usr/lib64/security", "/usr/lib/security",
	"/lib/x86_64-linux-gnu/security", "/lib/aarch64-linux-gnu/security", "/lib64/security", "/lib/security",
}

var (
	errNoModule = errors.New("the module's file is missing: nobody gets in by this service")
	errWritable = errors.New("somebody other than root can write the module's file or its folder")
)

// ModuleFile returns where a module named in a stack is, as the machine's
// path.
func (t Tree) ModuleFile(name string) (string, error) {
	if path.IsAbs(name) {
		if !t.exists(name) {
			return "", errNoModule
		}
		return name, nil
	}
	for _, dir := range moduleDirs {
		if file := path.Join(dir, name); t.exists(file) {
			return file, nil
		}
	}
	return "", errNoModule
}

// CheckModule refuses a module file that is missing or that somebody other
// than root could replace.
func (t Tree) CheckModule(name string) error {
	file, err := t.ModuleFile(name)
	if err != nil {
		return err
	}
	for _, p := range []string{file, path.Dir(file)} {
		info, err := os.Stat(t.path(p))
		if err != nil {
			return fmt.Errorf("looking at %s: %w", p, plain(err))
		}
		if !private(info) {
			return fmt.Errorf("%w: %s", errWritable, p)
		}
	}
	return nil
}

// private reports whether root, or who runs this, owns a file and nobody else
// can write it.
func private(info fs.FileInfo) bool {
	return info.Mode().Perm()&0o022 == 0 && ownedByUs(info)
}
