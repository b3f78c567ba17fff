//go:build unix

package boxfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"syscall"
)

// An owner is the account that the state belongs to.
type owner struct{ uid, gid uint32 }

// ownerOf refuses a state directory that others may enter, or that belongs to
// somebody else. Root may prepare one for the agent's account.
func ownerOf(dir fs.FileInfo) (owner, error) {
	st, ok := dir.Sys().(*syscall.Stat_t)
	switch {
	case !ok || !dir.IsDir():
		return owner{}, errors.New("not a directory")
	case dir.Mode().Perm()&0o077 != 0:
		return owner{}, fmt.Errorf("mode %04o lets others in; it must be 0700", dir.Mode().Perm())
	case os.Geteuid() != 0 && int(st.Uid) != os.Geteuid():
		return owner{}, fmt.Errorf("it belongs to uid %d", st.Uid)
	}
	return owner{st.Uid, st.Gid}, nil
}

func (o owner) owns(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && st.Uid == o.uid && info.Mode().Perm()&0o077 == 0
}

// give makes a new file the owner's.
func (o owner) give(f *os.File) error {
	if os.Geteuid() != 0 || o.uid == 0 {
		return nil
	}
	return f.Chown(int(o.uid), int(o.gid))
}

// lockDir keeps a second process out for as long as the file is open.
func (b *Box) lockDir() (*os.File, error) {
	f, err := b.root.OpenFile(lockName, os.O_RDWR|os.O_CREATE, fileMode)
	if isReadOnly(err) {
		return nil, nil // nobody can write here: there is nothing to keep apart
	}
	if err != nil {
		return nil, fmt.Errorf("locking state directory: %w", err)
	}
	if err := b.own.give(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("state directory is in use by another agent: %w", err), f.Close())
	}
	return f, nil
}

func isReadOnly(err error) bool { return errors.Is(err, syscall.EROFS) }

// syncFolder makes the names in a folder durable.
func (b *Box) syncFolder(dir string) error {
	f, err := b.root.Open(path.Clean(dir))
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
