package stack

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
)

// temporary is the name under which a file is written before it takes its
// place. No program asks PAM for such a service.
func temporary(name string) string { return ".latchkey-new-" + name }

// folder opens a folder of the machine, and no other that a link leads to
// outside of the tree.
func (k Keeper) folder(file string) (*os.Root, string, error) {
	root, err := os.OpenRoot(k.Tree.Root)
	if err != nil {
		return nil, "", fmt.Errorf("opening %s: %w", k.Tree.Root, plain(err))
	}
	defer root.Close()
	dir, err := root.OpenRoot(strings.TrimPrefix(path.Dir(file), "/"))
	if err != nil {
		return nil, "", fmt.Errorf("opening %s: %w", path.Dir(file), plain(err))
	}
	return dir, path.Base(file), nil
}

// current returns a file's contents, and refuses a link.
func (k Keeper) current(file string) ([]byte, error) {
	dir, name, err := k.folder(file)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	info, err := dir.Lstat(name)
	if err != nil {
		return nil, fmt.Errorf("looking at %s: %w", file, plain(err))
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s %w or no plain file", file, ErrLink)
	}
	f, err := dir.Open(name)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", file, plain(err))
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", file, plain(err))
	}
	return data, nil
}

// write puts a file in its place as a whole: whoever reads it meanwhile, and
// whoever reads it after a power failure, sees the old one or the new one.
func (k Keeper) write(file string, data []byte, mode fs.FileMode, uid, gid int) error {
	dir, name, err := k.folder(file)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := k.place(dir, name, data, mode, uid, gid); err != nil {
		return fmt.Errorf("writing %s: %w", file, plain(err))
	}
	return nil
}

// place writes a file in a folder: temporary file, owner, mode, fsync, rename,
// fsync of the folder.
func (k Keeper) place(dir *os.Root, name string, data []byte, mode fs.FileMode, uid, gid int) error {
	temp := temporary(name)
	if err := dir.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := dir.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	k.step("written " + name)
	_, err = f.Write(data)
	if err == nil && uid >= 0 && gid >= 0 {
		err = f.Chown(uid, gid)
	}
	if err == nil {
		err = f.Chmod(mode)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		k.step("rename " + name)
		err = dir.Rename(temp, name)
	}
	if err != nil {
		return errors.Join(err, dir.Remove(temp))
	}
	k.step("renamed " + name)
	return syncDir(dir)
}

func syncDir(dir *os.Root) error {
	f, err := dir.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func (k Keeper) remove(file string) error {
	dir, name, err := k.folder(file)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := dir.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing %s: %w", file, plain(err))
	}
	k.step("removed " + name)
	return syncDir(dir)
}

// tidy removes what a write left that never came to its end.
func (k Keeper) tidy(file string) error {
	dir, name, err := k.folder(file)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := dir.Remove(temporary(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("tidying up beside %s: %w", file, plain(err))
	}
	return nil
}

// save makes the pending revert durable.
func (k Keeper) save(state *os.Root, p Pending) error {
	data, err := json.MarshalIndent(p, "", "  ")
	if err == nil {
		err = k.place(state, pendingName, data, 0o600, -1, -1)
	}
	if err != nil {
		return fmt.Errorf("keeping the pending revert: %w", plain(err))
	}
	return nil
}

func (k Keeper) forget(state *os.Root) error {
	k.step("forget")
	if err := state.Remove(pendingName); err != nil {
		return fmt.Errorf("forgetting the pending revert: %w", plain(err))
	}
	return syncDir(state)
}

// backup keeps the files as they were, for people: the pending revert has its
// own copy.
func backup(state *os.Root, p Plan, now Moment) error {
	if err := state.Mkdir(backupDir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("keeping a backup: %w", plain(err))
	}
	dir, err := state.OpenRoot(backupDir)
	if err != nil {
		return fmt.Errorf("keeping a backup: %w", plain(err))
	}
	defer dir.Close()
	for _, c := range p.Changes {
		if !c.Existed {
			continue
		}
		name := fmt.Sprintf("%s.%s", path.Base(c.File), now.Wall.UTC().Format("20060102T150405.000000000Z"))
		if err := (Keeper{}).place(dir, name, c.Before, c.Mode, c.UID, c.GID); err != nil {
			return fmt.Errorf("keeping a backup of %s: %w", c.File, plain(err))
		}
	}
	return nil
}
