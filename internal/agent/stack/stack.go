// Package stack looks at the ways into a machine and says which of them ask
// for a second factor: the PAM services, sshd, sudo, polkit, greeters. A PAM
// stack is not compared with patterns: its auth and account phases are walked
// through with every result that its modules can give, the way libpam walks
// through them. It also puts our lines into named PAM services and takes them
// out again.
//
// It refuses to guess: what it cannot read or does not understand is never
// called protected. It changes nothing outside the PAM folder and one file of
// sshd's, never follows a link to get there, and never writes over a file that
// changed after it was looked at.
package stack

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Module is the file name of our PAM module.
const Module = "pam_latchkey.so"

// maxFile bounds what is read of any configuration file.
const maxFile = 1 << 20

var errTooLong = errors.New("longer than 1 MiB")

// A Tree is a machine's file system, or a copy of the parts that matter here.
type Tree struct {
	// Root is the folder that stands for "/".
	Root string
	// PAM overrides the folder of the PAM services, "" means /etc/pam.d with
	// /usr/lib/pam.d behind it. It is a path below Root.
	PAM string

	// over are files as they will be, by the machine's path, nil where one will
	// be gone: what a plan would do is judged before it is done.
	over map[string][]byte
}

// Folders of PAM services. A file in the first hides one in the others.
const (
	pamDir       = "/etc/pam.d"
	vendorPAMDir = "/usr/lib/pam.d"
)

func (t Tree) pamDirs() []string {
	if t.PAM != "" {
		return []string{t.PAM}
	}
	return []string{pamDir, vendorPAMDir}
}

// path is where name, an absolute path of the machine, is on this system.
// Links that are absolute paths of the machine are followed inside the tree.
func (t Tree) path(name string) string {
	for range 16 {
		full := filepath.Join(t.Root, filepath.FromSlash(path.Clean("/"+name)))
		target, err := os.Readlink(full)
		if err != nil {
			return full
		}
		if !path.IsAbs(target) {
			target = path.Join(path.Dir(name), target)
		}
		name = target
	}
	return filepath.Join(t.Root, "too many links")
}

// read returns the contents of a file of the machine.
func (t Tree) read(name string) ([]byte, error) {
	if data, planned := t.over[name]; planned && data == nil {
		return nil, fmt.Errorf("reading %s: %w", name, fs.ErrNotExist)
	} else if planned {
		return data, nil
	}
	f, err := os.Open(t.path(name))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, plain(err))
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, plain(err))
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("reading %s: %w", name, errTooLong)
	}
	return data, nil
}

// plain leaves the path out of an error: it names the copy, not the machine's
// file.
func plain(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// names lists the plain files of a folder of the machine, sorted. A folder
// that is not there is empty.
func (t Tree) names(dir string) ([]string, error) {
	entries, err := os.ReadDir(t.path(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing %s: %w", dir, plain(err))
	}
	var found []string
	for _, e := range entries {
		if !e.IsDir() {
			found = append(found, e.Name())
		}
	}
	return found, nil
}

// folders lists the folders in a folder of the machine.
func (t Tree) folders(dir string) []string {
	entries, err := os.ReadDir(t.path(dir))
	if err != nil {
		return nil
	}
	var found []string
	for _, e := range entries {
		if e.IsDir() {
			found = append(found, e.Name())
		}
	}
	return found
}

func (t Tree) exists(name string) bool {
	_, err := os.Stat(t.path(name))
	return err == nil
}

// Services lists the PAM services that have a file, sorted. Leftovers of
// editors and package managers are not services that any program asks for.
func (t Tree) Services() ([]string, error) {
	var found []string
	for _, dir := range t.pamDirs() {
		names, err := t.names(dir)
		if err != nil {
			return nil, err
		}
		for _, n := range names {
			if !leftover(n) {
				found = append(found, n)
			}
		}
	}
	slices.Sort(found)
	return slices.Compact(found), nil
}

func leftover(name string) bool {
	if strings.HasPrefix(name, ".") || strings.HasSuffix(name, "~") {
		return true
	}
	return slices.Contains([]string{".bak", ".orig", ".rpmnew", ".rpmsave", ".dpkg-old", ".dpkg-new", ".dpkg-dist", ".ucf-dist", ".pam-old"}, path.Ext(name))
}
