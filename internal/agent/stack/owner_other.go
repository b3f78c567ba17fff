//go:build !unix

package stack

import (
	"errors"
	"io/fs"
	"os"
)

// ownedByUs: without owners in the Unix sense nothing can be promised.
func ownedByUs(fs.FileInfo) bool { return false }

// OwnedByRoot is for systems that have a root.
func OwnedByRoot(fs.FileInfo) bool { return false }

func owner(fs.FileInfo) (uid, gid int) { return -1, -1 }

func lock(*os.File) error { return errors.New("files are locked on Unix only") }
