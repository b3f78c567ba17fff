package boxfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// An owner is the account that the state belongs to: on Windows the folder's
// access list says so, which the installer sets.
type owner struct{}

func ownerOf(dir fs.FileInfo) (owner, error) {
	if !dir.IsDir() {
		return owner{}, errors.New("not a directory")
	}
	return owner{}, nil
}

func (owner) owns(fs.FileInfo) bool { return true }
func (owner) give(*os.File) error   { return nil }

// lockDir keeps the folder's lock file open; it cannot be removed meanwhile.
func (b *Box) lockDir() (*os.File, error) {
	f, err := b.root.OpenFile(lockName, os.O_RDWR|os.O_CREATE, fileMode)
	if err != nil {
		return nil, fmt.Errorf("locking state directory: %w", err)
	}
	return f, nil
}

func isReadOnly(err error) bool { return errors.Is(err, fs.ErrPermission) }

// syncFolder: NTFS journals names itself; folders cannot be flushed.
func (b *Box) syncFolder(string) error { return nil }
