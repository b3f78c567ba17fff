//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// filesystems by their magic number (statfs(2)).
var filesystems = map[int64]string{
	0xef53: "ext4", 0x58465342: "xfs", 0x9123683e: "btrfs", 0x794c7630: "overlayfs", 0x01021994: "tmpfs", 0x2fc12fc1: "zfs",
}

// disk measures what makes a write durable: everything below waits for it once
// for each login.
func (b *bench) disk() error {
	var st syscall.Statfs_t
	if err := syscall.Statfs(b.dir, &st); err != nil {
		return err
	}
	kind := filesystems[int64(st.Type)]
	if kind == "" {
		kind = fmt.Sprintf("filesystem %#x", st.Type)
	}
	if kind == "tmpfs" {
		return fmt.Errorf("%s is in memory: a login that is durable there costs nothing; choose another folder with TMPDIR", b.dir)
	}
	b.section("The disk: " + kind)
	took, err := fdatasyncs(filepath.Join(b.dir, "disk"), 300)
	if err != nil {
		return err
	}
	b.times("512 bytes over others in a file, and fdatasync", took)
	return nil
}

func fdatasyncs(path string, n int) ([]time.Duration, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	defer os.Remove(path)
	defer f.Close()
	if _, err := f.Write(make([]byte, 64<<10)); err != nil {
		return nil, err
	}
	if err := f.Sync(); err != nil {
		return nil, err
	}
	took := make([]time.Duration, n)
	for i := range took {
		start := time.Now()
		if _, err := f.WriteAt(fmt.Appendf(nil, "%-512d", i), int64(i%128)*512); err != nil {
			return nil, err
		}
		if err := syscall.Fdatasync(int(f.Fd())); err != nil {
			return nil, err
		}
		took[i] = time.Since(start)
	}
	return took, nil
}
