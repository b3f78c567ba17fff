// Package boxfile keeps a machine's state in files: one folder of mode 0700,
// plain files of mode 0600 in it, all of one owner. What it says is written is
// on the disk.
//
// It refuses to follow symbolic links, to open anything but plain files of that
// owner, and to read more than MaxSize of one: whoever can plant something else
// in the folder must not make the agent hang, grow or write elsewhere.
package boxfile

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"latchkey"
	"latchkey/internal/seal"
	"latchkey/internal/vault"
)

// MaxSize is the size in bytes of the largest file that is opened.
const MaxSize = 8 << 20

const (
	dirMode  = 0o700
	fileMode = 0o600

	identityName = "identity.json"
	ledgerName   = "ledger"
	lockName     = "lock"
	badPrefix    = "ledger.bad-"
	maxBad       = 3 // lost ledgers that are kept to be looked at
)

// KeysDir is where the machine's keys lie in a state directory.
func KeysDir(dir string) string { return filepath.Join(dir, "keys") }

// An Identity is who the machine is and where its server is.
type Identity struct {
	Deployment string             `json:"deployment"`
	Machine    latchkey.MachineID `json:"machine"`
	Name       string             `json:"name"`
	URLs       []string           `json:"urls"` // of the agent listener, in order of preference
	Pins       []string           `json:"pins"` // SPKI hashes of the server's CA
}

// A Box is an open state directory. One process at a time has it open.
type Box struct {
	root *os.Root
	lock *os.File
	own  owner
}

var _ vault.Box = (*Box)(nil)

// ErrEnrolled: the directory is a machine's already.
var ErrEnrolled = errors.New("this machine is enrolled already")

// Create makes dir a machine's state directory. Its owner owns all that is put
// into it; only root may do that for somebody else. Errors: ErrEnrolled.
func Create(dir string, id Identity) (*Box, error) {
	if err := os.MkdirAll(dir, dirMode); err != nil {
		return nil, fmt.Errorf("creating state directory: %w", err)
	}
	if err := os.Chmod(dir, dirMode); err != nil {
		return nil, fmt.Errorf("creating state directory: %w", err)
	}
	b, err := open(dir)
	if err != nil {
		return nil, err
	}
	if _, err := b.Read(identityName); !errors.Is(err, vault.ErrNone) {
		return nil, errors.Join(ErrEnrolled, b.Close())
	}
	doc, err := json.MarshalIndent(id, "", "\t")
	if err == nil {
		err = b.Write(identityName, append(doc, '\n'))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("writing identity: %w", err), b.Close())
	}
	return b, nil
}

// Open opens a state directory. It refuses one that others may enter.
func Open(dir string) (*Box, Identity, error) {
	b, err := open(dir)
	if err != nil {
		return nil, Identity{}, err
	}
	var id Identity
	doc, err := b.Read(identityName)
	if err == nil {
		err = seal.DecodeStrict(doc, &id)
	}
	if err != nil {
		return nil, Identity{}, errors.Join(fmt.Errorf("reading identity: %w", err), b.Close())
	}
	return b, id, nil
}

func open(dir string) (*Box, error) {
	info, err := os.Lstat(dir)
	if err != nil {
		return nil, fmt.Errorf("opening state directory: %w", err)
	}
	own, err := ownerOf(info)
	if err != nil {
		return nil, fmt.Errorf("opening state directory %s: %w", dir, err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("opening state directory: %w", err)
	}
	b := &Box{root: root, own: own}
	if b.lock, err = b.lockDir(); err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return b, nil
}

// Close lets another process open the directory.
func (b *Box) Close() error {
	var err error
	if b.lock != nil {
		err = b.lock.Close()
	}
	return errors.Join(err, b.root.Close())
}

// Read implements vault.Box.
func (b *Box) Read(name string) ([]byte, error) {
	f, err := b.openPlain(name, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
	return data, errors.Join(err, f.Close())
}

// openPlain opens a plain file of the owner's, no folder above it being a link.
// Errors: vault.ErrNone, vault.ErrUnfit.
func (b *Box) openPlain(name string, flag int) (*os.File, error) {
	if err := b.checkFolders(path.Dir(name)); err != nil {
		return nil, err
	}
	before, err := b.root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", name, vault.ErrNone)
	}
	if err != nil {
		return nil, err
	}
	if err := b.fit(before); err != nil { // before opening: a FIFO would wait for a writer
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	f, err := b.root.OpenFile(name, flag, 0)
	if err != nil {
		return nil, err
	}
	after, err := f.Stat()
	if err == nil && !os.SameFile(before, after) {
		err = fmt.Errorf("%s: %w", name, vault.ErrUnfit)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (b *Box) fit(info fs.FileInfo) error {
	switch {
	case !info.Mode().IsRegular():
		return fmt.Errorf("%w: %s", vault.ErrUnfit, info.Mode())
	case info.Size() > MaxSize:
		return fmt.Errorf("%w: %d bytes", vault.ErrUnfit, info.Size())
	case !b.own.owns(info):
		return fmt.Errorf("%w: another owner, or open to others", vault.ErrUnfit)
	}
	return nil
}

// checkFolders refuses a way that leads through anything but folders.
func (b *Box) checkFolders(dir string) error {
	if dir == "." {
		return nil
	}
	if err := b.checkFolders(path.Dir(dir)); err != nil {
		return err
	}
	info, err := b.root.Lstat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w", dir, vault.ErrNone)
	}
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%s: %w: %s", dir, vault.ErrUnfit, info.Mode())
	}
	return err
}

// Write implements vault.Box.
func (b *Box) Write(name string, data []byte) error {
	if len(data) > MaxSize {
		return fmt.Errorf("writing %s: %d bytes, the most is %d", name, len(data), MaxSize)
	}
	if err := b.folder(path.Dir(name)); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	f, err := b.create(name + ".new")
	if err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return errors.Join(fmt.Errorf("writing %s: %w", name, err), b.root.Remove(name+".new"))
	}
	return b.put(name)
}

// put moves name.new to name, durably.
func (b *Box) put(name string) error {
	if info, err := b.root.Lstat(name); err == nil && info.IsDir() {
		if err := b.root.RemoveAll(name); err != nil { // no file can take the place of a folder
			return fmt.Errorf("writing %s: %w", name, err)
		}
	}
	if err := b.root.Rename(name+".new", name); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return b.syncFolder(path.Dir(name))
}

// create opens a new file; what a crash left under the name goes first.
func (b *Box) create(name string) (*os.File, error) {
	if err := b.root.RemoveAll(name); err != nil {
		return nil, err
	}
	f, err := b.root.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return nil, err
	}
	if err := b.own.give(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// folder makes a folder and those above it.
func (b *Box) folder(dir string) error {
	err := b.checkFolders(dir)
	if !errors.Is(err, vault.ErrNone) {
		return err
	}
	if err := b.folder(path.Dir(dir)); err != nil {
		return err
	}
	if err := b.root.Mkdir(dir, dirMode); err != nil {
		return err
	}
	f, err := b.root.Open(dir)
	if err != nil {
		return err
	}
	if err := errors.Join(b.own.give(f), f.Close()); err != nil {
		return err
	}
	return b.syncFolder(path.Dir(dir))
}

// Remove implements vault.Box.
func (b *Box) Remove(name string) error {
	if err := b.checkFolders(path.Dir(name)); errors.Is(err, vault.ErrNone) {
		return nil
	} else if err != nil {
		return err
	}
	if err := b.root.RemoveAll(name); err != nil {
		return fmt.Errorf("removing %s: %w", name, err)
	}
	return b.syncFolder(path.Dir(name))
}

// List implements vault.Box.
func (b *Box) List(folder string) ([]string, error) {
	if err := b.checkFolders(folder); errors.Is(err, vault.ErrNone) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	entries, err := fs.ReadDir(b.root.FS(), folder)
	if err != nil {
		return nil, fmt.Errorf("listing %s: %w", folder, err)
	}
	var names []string
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".new") {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// Ledger implements vault.Box. On a disk that can only be read the ledger opens
// all the same; every write then fails, and whoever asks is denied.
func (b *Box) Ledger() (vault.File, error) {
	f, err := b.openPlain(ledgerName, os.O_RDWR)
	if isReadOnly(err) {
		f, err = b.openPlain(ledgerName, os.O_RDONLY)
	}
	if err != nil {
		return nil, fmt.Errorf("opening ledger: %w", err)
	}
	return ledgerFile{f}, nil
}

// NewLedger implements vault.Box.
func (b *Box) NewLedger(size int64) (vault.File, error) {
	if err := b.setAside(); err != nil {
		return nil, fmt.Errorf("setting the old ledger aside: %w", err)
	}
	f, err := b.create(ledgerName + ".new")
	if err != nil {
		return nil, fmt.Errorf("creating ledger: %w", err)
	}
	if err := allocate(f, size); err != nil {
		return nil, errors.Join(fmt.Errorf("creating ledger: %w", err), f.Close())
	}
	if err := b.put(ledgerName); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return ledgerFile{f}, nil
}

// setAside keeps what stands in the ledger's place, whatever it is, and drops
// all but the latest of those that were kept before.
func (b *Box) setAside() error {
	if _, err := b.root.Lstat(ledgerName); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	name := badPrefix + time.Now().UTC().Format("20060102T150405.000000000")
	if err := b.root.Rename(ledgerName, name); err != nil {
		return err
	}
	entries, err := fs.ReadDir(b.root.FS(), ".")
	if err != nil {
		return err
	}
	entries = slices.DeleteFunc(entries, func(e fs.DirEntry) bool { return !strings.HasPrefix(e.Name(), badPrefix) })
	for len(entries) > maxBad { // in order of name, that is of time
		if err := b.root.RemoveAll(entries[0].Name()); err != nil {
			return err
		}
		entries = entries[1:]
	}
	return nil
}

// allocate writes zeros over the whole file: from then on a full disk cannot
// refuse a write into it.
func allocate(f *os.File, size int64) error {
	if err := reserve(f, size); err != nil {
		return err
	}
	zeros := make([]byte, 1<<16)
	for at := int64(0); at < size; at += int64(len(zeros)) {
		if _, err := f.WriteAt(zeros[:min(int64(len(zeros)), size-at)], at); err != nil {
			return err
		}
	}
	return f.Sync()
}

// A ledgerFile is the ledger as the vault writes it.
type ledgerFile struct{ *os.File }

// Sync returns when what was written is on the disk. The file never grows, so
// its data are all there is to write.
func (f ledgerFile) Sync() error { return syncData(f.File) }
