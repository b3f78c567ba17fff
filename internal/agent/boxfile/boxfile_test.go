//go:build unix

package boxfile_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"latchkey/internal/agent/boxfile"
	"latchkey/internal/vault"
)

var pc17 = boxfile.Identity{Deployment: "d1", Machine: "m1", Name: "pc-17", URLs: []string{"https://a:1"}, Pins: []string{"p"}}

func newBox(t *testing.T) (*boxfile.Box, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "state")
	b, err := boxfile.Create(dir, pc17)
	must(t, err)
	t.Cleanup(func() { b.Close() })
	return b, dir
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestAnObjectIsWhatWasWrittenLast(t *testing.T) {
	t.Parallel()
	b, dir := newBox(t)
	for _, name := range []string{"settings.dsse", "users/u-1/header", "users/u-1/chunk-1"} {
		if _, err := b.Read(name); !errors.Is(err, vault.ErrNone) {
			t.Errorf("%s before: %v", name, err)
		}
		must(t, b.Write(name, []byte("first")))
		must(t, b.Write(name, []byte("second")))
		if got, err := b.Read(name); err != nil || string(got) != "second" {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	must(t, os.WriteFile(filepath.Join(dir, "users/u-1/header.new"), []byte("half"), 0o600)) // left by a crash
	names, err := b.List("users/u-1")
	if err != nil || !slices.Equal(names, []string{"chunk-1", "header"}) {
		t.Errorf("list %v, %v", names, err)
	}
	must(t, b.Write("users/u-1/header", []byte("third")))
	must(t, b.Remove("users/u-1"))
	must(t, b.Remove("users/u-1"))
	must(t, b.Remove("users/u-2/header"))
	if names, err := b.List("users/u-1"); err != nil || len(names) != 0 {
		t.Errorf("after removal %v, %v", names, err)
	}
}

func TestG05NobodyElseMayReadAnything(t *testing.T) {
	t.Parallel()
	b, dir := newBox(t)
	must(t, b.Write("users/u-1/header", []byte("x")))
	f, err := b.NewLedger(1 << 16)
	must(t, err)
	must(t, f.Close())
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	}))
}

func TestF06WhatIsNoPlainFileIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	for name, plant := range map[string]func(path string) error{
		"a link":      func(p string) error { return os.Symlink("identity.json", p) },
		"a link away": func(p string) error { return os.Symlink("/etc/passwd", p) },
		"a folder":    func(p string) error { return os.Mkdir(p, 0o700) },
		"a FIFO":      func(p string) error { return syscall.Mkfifo(p, 0o600) },
		"too large": func(p string) error {
			return errors.Join(os.WriteFile(p, nil, 0o600), os.Truncate(p, boxfile.MaxSize+1))
		},
		"readable by others": func(p string) error {
			return errors.Join(os.WriteFile(p, nil, 0o600), os.Chmod(p, 0o644))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, dir := newBox(t)
			must(t, plant(filepath.Join(dir, "settings.dsse")))
			must(t, plant(filepath.Join(dir, "ledger")))
			start := time.Now()
			if _, err := b.Read("settings.dsse"); !errors.Is(err, vault.ErrUnfit) {
				t.Errorf("read: %v", err)
			}
			if _, err := b.Ledger(); !errors.Is(err, vault.ErrUnfit) {
				t.Errorf("ledger: %v", err)
			}
			if d := time.Since(start); d > time.Second {
				t.Errorf("it took %v", d)
			}
			must(t, b.Write("settings.dsse", []byte("new")))
			if got, err := b.Read("settings.dsse"); err != nil || string(got) != "new" {
				t.Errorf("after writing %q, %v", got, err)
			}
			f, err := b.NewLedger(4096)
			must(t, err)
			must(t, f.Close())
			if got, err := os.ReadFile("/etc/passwd"); err != nil || !bytes.Contains(got, []byte("root")) {
				t.Error("a file outside was changed")
			}
		})
	}
}

func TestAFolderThatIsALinkIsRefused(t *testing.T) {
	t.Parallel()
	b, dir := newBox(t)
	away := t.TempDir()
	must(t, os.Symlink(away, filepath.Join(dir, "users")))
	if err := b.Write("users/u-1/header", []byte("x")); !errors.Is(err, vault.ErrUnfit) {
		t.Errorf("write: %v", err)
	}
	if _, err := b.Read("users/u-1/header"); !errors.Is(err, vault.ErrUnfit) {
		t.Errorf("read: %v", err)
	}
	if left, err := os.ReadDir(away); err != nil || len(left) != 0 {
		t.Errorf("written outside: %v, %v", left, err)
	}
}

func TestAnotherAccountsFileIsRefused(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("needs root to give files away")
	}
	b, dir := newBox(t)
	must(t, b.Write("settings.dsse", []byte("x")))
	must(t, os.Chown(filepath.Join(dir, "settings.dsse"), 12345, 12345))
	if _, err := b.Read("settings.dsse"); !errors.Is(err, vault.ErrUnfit) {
		t.Errorf("error %v", err)
	}
}

func TestRootPreparesTheStateForTheAgentsAccount(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("needs root to give files away")
	}
	dir := t.TempDir()
	must(t, os.Chown(dir, 12345, 12345))
	b, err := boxfile.Create(dir, pc17)
	must(t, err)
	defer b.Close()
	must(t, b.Write("users/u-1/header", []byte("x")))
	for _, name := range []string{"identity.json", "users", "users/u-1", "users/u-1/header", "lock"} {
		info, err := os.Stat(filepath.Join(dir, name))
		must(t, err)
		if st := info.Sys().(*syscall.Stat_t); st.Uid != 12345 {
			t.Errorf("%s belongs to %d", name, st.Uid)
		}
	}
}

func TestTheDirectoryIsOneMachinesAndOneProcesss(t *testing.T) {
	t.Parallel()
	b, dir := newBox(t)
	if _, _, err := boxfile.Open(dir); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a second process: %v", err)
	}
	must(t, b.Close())
	if _, err := boxfile.Create(dir, pc17); !errors.Is(err, boxfile.ErrEnrolled) {
		t.Errorf("a second enrolment: %v", err)
	}
	again, id, err := boxfile.Open(dir)
	must(t, err)
	defer again.Close()
	if id.Name != "pc-17" || id.Machine != "m1" || len(id.URLs) != 1 {
		t.Errorf("identity %+v", id)
	}
}

func TestADirectoryThatOthersMayEnterIsRefused(t *testing.T) {
	t.Parallel()
	b, dir := newBox(t)
	must(t, b.Close())
	must(t, os.Chmod(dir, 0o755))
	if _, _, err := boxfile.Open(dir); err == nil || !strings.Contains(err.Error(), "0700") {
		t.Errorf("error %v", err)
	}
}

func TestTheLedgerIsAllocatedAndOldOnesAreKept(t *testing.T) {
	t.Parallel()
	b, dir := newBox(t)
	if _, err := b.Ledger(); !errors.Is(err, vault.ErrNone) {
		t.Fatalf("before: %v", err)
	}
	for range 6 {
		f, err := b.NewLedger(1 << 20)
		must(t, err)
		_, err = f.WriteAt([]byte("hello"), 4096)
		must(t, errors.Join(err, f.Sync(), f.Close()))
	}
	info, err := os.Stat(filepath.Join(dir, "ledger"))
	must(t, err)
	if st := info.Sys().(*syscall.Stat_t); info.Size() != 1<<20 || st.Blocks*512 < 1<<20 {
		t.Errorf("%d bytes in %d blocks", info.Size(), st.Blocks)
	}
	bad, err := filepath.Glob(filepath.Join(dir, "ledger.bad-*"))
	if err != nil || len(bad) != 3 {
		t.Errorf("kept %v, %v", bad, err)
	}
	f, err := b.Ledger()
	must(t, err)
	defer f.Close()
	got := make([]byte, 5)
	if _, err := f.ReadAt(got, 4096); err != nil || string(got) != "hello" {
		t.Errorf("read %q, %v", got, err)
	}
}
