package stack

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"time"
)

// A Moment is the time by three clocks. The wall clock of a machine whose
// battery is dead starts over at each boot, so it alone could keep a wrong
// stack for ever.
type Moment struct {
	Wall time.Time
	Boot time.Duration // since this boot, sleep included
	ID   string        // of this boot
}

// A Keeper changes the machine's files by a plan, so that they change back by
// themselves unless somebody who still gets in confirms.
type Keeper struct {
	Tree Tree
	// State is the folder, on this system, where the pending revert is kept.
	State string
	// CheckSSHD says whether sshd takes its configuration as it is now. It is
	// called where a plan changed that.
	CheckSSHD func() error
	// StartTimer is called when the pending revert is on disk and before
	// anything changes. What it starts must outlive this process.
	StartTimer func() error

	// crash is called before each step, for tests.
	crash func(step string)
}

var (
	// ErrPending: an earlier change waits to be confirmed.
	ErrPending = errors.New("an earlier change waits to be confirmed or reverted")
	// ErrNothingPending: there is nothing to confirm or to revert.
	ErrNothingPending = errors.New("nothing waits to be confirmed")
	// ErrChanged: a file is not what it was when the plan was made.
	ErrChanged = errors.New("the file changed in the meantime")
	// ErrUntrusted: the pending revert could be somebody else's.
	ErrUntrusted = errors.New("the file of the pending revert is not root's alone")
)

// Names in the state folder.
const (
	pendingName = "pam-pending.json"
	backupDir   = "pam-backup"
	lockName    = "pam.lock"
)

// Pending is a change that waits to be confirmed.
type Pending struct {
	Made    time.Time     `json:"made"`
	Due     time.Time     `json:"due"`
	DueBoot time.Duration `json:"due_boot"` // nanoseconds
	BootID  string        `json:"boot_id"`
	Files   []Undo        `json:"files"`
}

// An Undo is one file of a pending change.
type Undo struct {
	File    string      `json:"file"`
	Existed bool        `json:"existed"`
	Before  []byte      `json:"before"`
	Removed bool        `json:"removed"` // by the change
	After   string      `json:"after"`   // SHA-256, hexadecimal
	Mode    fs.FileMode `json:"mode"`
	UID     int         `json:"uid"`
	GID     int         `json:"gid"`
}

// due reports whether the change has to go. After a restart it goes at once:
// whoever had to restart a machine to get in has not confirmed.
func (p Pending) due(now Moment) bool {
	return now.ID != p.BootID || now.Boot >= p.DueBoot || !now.Wall.Before(p.Due)
}

func (k Keeper) step(name string) {
	if k.crash != nil {
		k.crash(name)
	}
}

// Apply carries a plan out and leaves a pending revert that is due after
// within. On an error everything is as before.
func (k Keeper) Apply(p Plan, now Moment, within time.Duration) error {
	unlock, state, err := k.open()
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := read(state); !errors.Is(err, ErrNothingPending) {
		return cmpErr(err, ErrPending)
	}
	pending := Pending{Made: now.Wall, Due: now.Wall.Add(within), DueBoot: now.Boot + within, BootID: now.ID}
	for _, c := range p.Changes {
		if err := k.unchanged(c); err != nil {
			return err
		}
		pending.Files = append(pending.Files, undo(c))
	}
	k.step("backup")
	if err := backup(state, p, now); err != nil {
		return err
	}
	if err := k.save(state, pending); err != nil {
		return err
	}
	if err := k.carryOut(p); err != nil {
		return errors.Join(err, k.undo(state, pending))
	}
	return nil
}

func cmpErr(err, otherwise error) error {
	if err != nil {
		return err
	}
	return otherwise
}

func (k Keeper) carryOut(p Plan) error {
	k.step("timer")
	if k.StartTimer != nil {
		if err := k.StartTimer(); err != nil {
			return fmt.Errorf("starting the timer that reverts: %w", err)
		}
	}
	for _, c := range p.Changes {
		k.step("change " + c.File)
		if err := k.unchanged(c); err != nil {
			return err
		}
		var err error
		if c.Remove {
			err = k.remove(c.File)
		} else {
			err = k.write(c.File, c.After, c.Mode, c.UID, c.GID)
		}
		if err != nil {
			return err
		}
		k.step("changed " + c.File)
	}
	ssh := slices.ContainsFunc(p.Changes, func(c Change) bool { return c.File == sshdDropIn })
	if ssh && k.CheckSSHD != nil {
		if err := k.CheckSSHD(); err != nil {
			return fmt.Errorf("sshd does not take the configuration: %w", err)
		}
	}
	return nil
}

// unchanged refuses to go on when a file is not what the plan was made from.
func (k Keeper) unchanged(c Change) error {
	data, err := k.current(c.File)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if c.Existed {
			return fmt.Errorf("%s: %w", c.File, ErrChanged)
		}
		return nil
	case err != nil:
		return err
	case !c.Existed || string(data) != string(c.Before):
		return fmt.Errorf("%s: %w", c.File, ErrChanged)
	}
	return nil
}

func undo(c Change) Undo {
	return Undo{File: c.File, Existed: c.Existed, Before: c.Before, Removed: c.Remove, After: digest(c.After), Mode: c.Mode, UID: c.UID, GID: c.GID}
}

func digest(data []byte) string { return fmt.Sprintf("%x", sha256.Sum256(data)) }

// Confirm lets the change stay.
func (k Keeper) Confirm() error {
	unlock, state, err := k.open()
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := read(state); err != nil {
		return err
	}
	return k.forget(state)
}

// Pending returns the change that waits, or ErrNothingPending.
func (k Keeper) Pending() (Pending, error) {
	if _, err := os.Lstat(filepath.Join(k.State, pendingName)); errors.Is(err, fs.ErrNotExist) {
		return Pending{}, ErrNothingPending
	}
	unlock, state, err := k.open()
	if err != nil {
		return Pending{}, err
	}
	defer unlock()
	return read(state)
}

// RevertDue takes back a change that nobody confirmed in time, and returns how
// long one that is not due yet has left, 0 where nothing waits. The agent calls
// it when it starts, still as root, and the timer process when it wakes.
func (k Keeper) RevertDue(now Moment) (left time.Duration, reverted bool, err error) {
	if _, err := os.Lstat(filepath.Join(k.State, pendingName)); errors.Is(err, fs.ErrNotExist) {
		return 0, false, nil
	}
	unlock, state, err := k.open()
	if err != nil {
		return 0, false, err
	}
	defer unlock()
	p, err := read(state)
	if errors.Is(err, ErrNothingPending) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	if !p.due(now) {
		return max(min(p.DueBoot-now.Boot, p.Due.Sub(now.Wall)), time.Nanosecond), false, nil
	}
	return 0, true, k.undo(state, p)
}

// Revert takes the pending change back at once.
func (k Keeper) Revert() error {
	unlock, state, err := k.open()
	if err != nil {
		return err
	}
	defer unlock()
	p, err := read(state)
	if err != nil {
		return err
	}
	return k.undo(state, p)
}

// undo puts every file back that is as the change left it. One that somebody
// else changed since is left alone and told. The pending revert goes last: a
// crash before only means that it is done again.
func (k Keeper) undo(state *os.Root, p Pending) error {
	var failed []error
	for _, u := range slices.Backward(p.Files) {
		k.step("undo " + u.File)
		if err := k.undoFile(u); err != nil {
			failed = append(failed, err)
		}
	}
	if len(failed) > 0 && !slices.ContainsFunc(failed, func(err error) bool { return errors.Is(err, ErrChanged) }) {
		return errors.Join(failed...) // and try again later
	}
	k.step("undone")
	return errors.Join(append(failed, k.forget(state))...)
}

func (k Keeper) undoFile(u Undo) error {
	if !changeable(k.Tree, u.File) {
		return fmt.Errorf("%s: %w", u.File, ErrUntrusted)
	}
	if err := k.tidy(u.File); err != nil {
		return err
	}
	data, err := k.current(u.File)
	gone := errors.Is(err, fs.ErrNotExist)
	if err != nil && !gone {
		return err
	}
	asItWas := gone && !u.Existed || !gone && u.Existed && string(data) == string(u.Before)
	asChanged := gone && u.Removed || !gone && !u.Removed && digest(data) == u.After
	switch {
	case asItWas:
		return nil
	case !asChanged:
		return fmt.Errorf("%s: %w: it stays as it is", u.File, ErrChanged)
	case !u.Existed:
		return k.remove(u.File)
	}
	return k.write(u.File, u.Before, u.Mode, u.UID, u.GID)
}

// changeable are the only files that this package ever writes.
func changeable(t Tree, file string) bool {
	return file == sshdDropIn || (path.Dir(file) == t.pamDirs()[0] && path.Base(file)[0] != '.')
}

// open locks the state folder: a confirmation and a revert exclude each other.
func (k Keeper) open() (unlock func(), state *os.Root, err error) {
	state, err = os.OpenRoot(k.State)
	if err != nil {
		return nil, nil, fmt.Errorf("opening the state folder: %w", err)
	}
	f, err := state.OpenFile(lockName, os.O_CREATE|os.O_RDWR, 0o600)
	if err == nil {
		if err = lock(f); err != nil {
			err = errors.Join(err, f.Close())
		}
	}
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("locking the state folder: %w", err), state.Close())
	}
	return func() { _, _ = f.Close(), state.Close() }, state, nil
}

// read returns the pending change. The state folder belongs to the agent's own
// user, who must not be able to make root write what he likes: only a file that
// root wrote counts.
func read(state *os.Root) (Pending, error) {
	info, err := state.Lstat(pendingName)
	if errors.Is(err, fs.ErrNotExist) {
		return Pending{}, ErrNothingPending
	}
	if err != nil {
		return Pending{}, fmt.Errorf("reading the pending revert: %w", err)
	}
	f, err := state.Open(pendingName)
	if err != nil {
		return Pending{}, fmt.Errorf("reading the pending revert: %w", err)
	}
	defer f.Close()
	opened, err := f.Stat()
	if err != nil || !os.SameFile(info, opened) || !opened.Mode().IsRegular() || opened.Mode().Perm() != 0o600 || !ownedByUs(opened) {
		return Pending{}, ErrUntrusted
	}
	var p Pending
	if err := json.NewDecoder(io.LimitReader(f, 16*maxFile)).Decode(&p); err != nil {
		return Pending{}, fmt.Errorf("reading the pending revert: %w", err)
	}
	return p, nil
}
