//go:build unix

package store

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
)

// Give makes a file or folder that root has just made belong to whoever owns the
// folder that it is in: root types the commands, and the server runs as a user
// of its own. It works on what is open, never on a name: the owner of the folder
// may have put something else there.
func Give(f *os.File) error { return giveLike(f, filepath.Dir(f.Name())) }

// giveLike gives to the owner of another file.
func giveLike(f *os.File, like string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	info, err := os.Stat(like)
	if err != nil {
		return err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || st.Uid == 0 {
		return nil
	}
	return f.Chown(int(st.Uid), int(st.Gid))
}

// giveDir is Give for a folder that is named.
func giveDir(path string) error {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	return errors.Join(Give(f), f.Close())
}
