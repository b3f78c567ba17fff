//go:build unix

package keystore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

func private(info fs.FileInfo) error {
	if p := info.Mode().Perm(); p&0o077 != 0 {
		return fmt.Errorf("mode %04o lets others read it; it must be 0600", p)
	}
	return nil
}

// give makes a new key belong to the owner of the state directory that the keys
// lie in: root may enroll for the agent's account.
func give(root *os.Root, f *os.File) error {
	if os.Geteuid() != 0 {
		return nil
	}
	state, err := os.Stat(root.Name() + "/..")
	if err != nil {
		return err
	}
	st, ok := state.Sys().(*syscall.Stat_t)
	if !ok || st.Uid == 0 {
		return nil
	}
	return errors.Join(f.Chown(int(st.Uid), int(st.Gid)), os.Chown(root.Name(), int(st.Uid), int(st.Gid)))
}

func syncDir(root *os.Root) error {
	f, err := root.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
