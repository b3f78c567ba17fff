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

// give makes a new key, or the keys' folder, belong to the owner of the state
// directory: root may enroll for the agent's account.
func give(state *os.Root, f *os.File) error {
	if os.Geteuid() != 0 {
		return nil
	}
	info, err := state.Stat(".")
	if err != nil {
		return err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || st.Uid == 0 {
		return nil
	}
	return f.Chown(int(st.Uid), int(st.Gid))
}

func syncDir(root *os.Root) error {
	f, err := root.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
