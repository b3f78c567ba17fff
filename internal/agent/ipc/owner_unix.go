//go:build unix

package ipc

import (
	"io/fs"
	"os"
	"syscall"
)

// ownedByUs reports whether the file is this process's user's or root's.
func ownedByUs(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && (st.Uid == 0 || int(st.Uid) == os.Geteuid())
}
