//go:build linux

package e2e_test

import (
	"bufio"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"latchkey/test/lab"
)

const nobody = 65534

// A home is a data directory of an account without rights, in which root runs
// the server's commands.
type home struct {
	t       *testing.T
	program string
	dir     string
	beside  string // where root keeps backups
}

func newHome(t *testing.T) home {
	t.Helper()
	top, err := os.MkdirTemp("", "latchkey-owner-*")
	check(t, err)
	t.Cleanup(func() { check(t, os.RemoveAll(top)) })
	h := home{t, filepath.Join(top, "latchkey"), filepath.Join(top, "data"), t.TempDir()}
	program, err := os.ReadFile(lab.New(t).Programs().Server)
	check(t, err)
	check(t, errors.Join(os.Chmod(top, 0o711), os.WriteFile(h.program, program, 0o755), os.Mkdir(h.dir, 0o700), os.Chown(h.dir, nobody, nobody)))
	return h
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// root runs a command and looks at what it leaves in the directory.
func (h home) root(args ...string) {
	h.t.Helper()
	if out, err := exec.Command(h.program, args...).CombinedOutput(); err != nil {
		h.t.Fatalf("latchkey %q: %v\n%s", args, err, out)
	}
	h.owned(args[0])
}

func (h home) owned(when string) {
	h.t.Helper()
	check(h.t, filepath.WalkDir(h.dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := os.Lstat(path)
		if err == nil && info.Sys().(*syscall.Stat_t).Uid != nobody {
			h.t.Errorf("after %s, %s belongs to root", when, path)
		}
		return err
	}))
}

// serves starts the server as the account that owns the directory; with it
// running, root's commands must not take a file from it either.
func (h home) serves(when string, also func()) {
	h.t.Helper()
	c := exec.Command(h.program, "serve", "--data", h.dir, "--listen", "127.0.0.1:0", "--agent-listen", "127.0.0.1:0")
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}, Pdeathsig: syscall.SIGKILL}
	said, err := c.StderrPipe()
	check(h.t, err)
	check(h.t, c.Start())
	up, all := false, ""
	lines := bufio.NewScanner(said)
	for lines.Scan() {
		if all += lines.Text() + "\n"; !up && strings.Contains(lines.Text(), "CA SHA-256") {
			up = true
			also()
			check(h.t, c.Process.Signal(syscall.SIGTERM))
		}
	}
	if err := c.Wait(); err != nil || !up {
		h.t.Fatalf("the server does not start after %s: %v\n%s", when, err, all)
	}
	h.owned("serving")
}

// The packaged server runs as a user of its own, and root types the commands.
func TestRootsCommandsLeaveADirectoryThatItsOwnerCanServe(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	backup := filepath.Join(h.beside, "backup")
	h.root("admin", "create", "ana", "--data", h.dir)
	h.serves("admin create", func() {
		h.root("admin", "create", "ben", "--data", h.dir)
		h.root("backup", "--data", h.dir, "--out", backup, "--with-key")
		h.root("backup", "--data", h.dir, "--out", filepath.Join(h.dir, "backup"))
	})
	h.root("key", "rewrap", "--data", h.dir, "--yes")
	h.serves("key rewrap", func() {})
	for _, name := range []string{"master.key", "latchkey.db"} {
		check(t, os.Remove(filepath.Join(h.dir, name)))
	}
	h.root("restore", backup, "--data", h.dir)
	h.serves("restore", func() {})
	h.root("restore", backup, "--data", h.dir, "--yes")
	if aside, err := filepath.Glob(filepath.Join(h.dir, "replaced-*", "latchkey.db")); err != nil || len(aside) != 1 {
		t.Errorf("set aside: %q, %v", aside, err)
	}
	h.serves("a second restore", func() {})
	h.root("audit", "verify", "--data", h.dir)
}
