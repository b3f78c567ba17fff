//go:build unix

package agent

import (
	"io/fs"
	"os"
	"syscall"
)

// trusted reports whether a file is root's or this process's user's.
func trusted(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && (st.Uid == 0 || int(st.Uid) == os.Geteuid())
}
