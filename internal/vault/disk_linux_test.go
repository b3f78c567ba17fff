package vault_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"latchkey"
	"latchkey/internal/api"
	"latchkey/internal/secret"
)

// smallDisk puts the state of a world on a disk of its own.
func smallDisk(t *testing.T, w *world) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to mount a small disk")
	}
	w.v.Close()
	must(t, w.box.Close())
	disk := t.TempDir()
	must(t, syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=8m,mode=0700"))
	t.Cleanup(func() { must(t, syscall.Unmount(disk, syscall.MNT_DETACH)) })
	must(t, os.CopyFS(disk, os.DirFS(w.dir)))
	must(t, filepath.WalkDir(disk, func(path string, d fs.DirEntry, err error) error { // copies are made more open
		if err == nil && d.IsDir() {
			return os.Chmod(path, 0o700)
		}
		return errors.Join(err, os.Chmod(path, 0o600))
	}))
	w.dir = disk
}

func TestF04AFullDiskLocksNobodyOut(t *testing.T) {
	t.Parallel()
	w, u := offline(t, asIs)
	smallDisk(t, w)
	junk, err := os.Create(w.path("junk"))
	must(t, err)
	if _, err := io.Copy(junk, endless{}); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("filling the disk: %v", err)
	}
	must(t, junk.Close())
	w.reopen()
	expect(t, w.login(latchkey.Console, w.wrong()), wrongCode)
	expect(t, w.login(latchkey.Console, w.totp(w.wall)), allowed)
	if err := w.v.Store(w.issue(u)); !errors.Is(err, syscall.ENOSPC) { // a failed bundle write denies nobody
		t.Errorf("storing a bundle: %v", err)
	}
	expect(t, w.login(latchkey.Console, w.totp(w.wall)), replayed)
	w.restart()
	expect(t, w.login(latchkey.Unlock), "ask secret One-time code (2 offline logins left, until 27 Nov)")
}

type endless struct{}

func (endless) Read(b []byte) (int, error) { return len(b), nil }

func TestF05OnAReadOnlyDiskNobodyGetsIn(t *testing.T) {
	t.Parallel()
	w, _ := offline(t, asIs)
	smallDisk(t, w)
	must(t, syscall.Mount("", w.dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""))
	w.reopen()
	l := w.logon(latchkey.Console)
	p := w.begin(l).Prompt
	turn, err := w.v.Answer(context.Background(), l, latchkey.Answer{Prompt: p.ID, Value: secret.Bytes(w.totp(w.wall)), State: p.State})
	if err == nil {
		t.Errorf("let in without a record: %s", said(turn))
	}
	if err := w.v.Reserve(l, latchkey.Answer{Value: secret.Bytes(w.totp(w.wall))}); err == nil {
		t.Error("a code would be sent that is not marked")
	}
	q := w.inquire()
	v, err := w.v.Absorb(l, w.verdict(l, q, func(*api.Verdict) {}), q)
	if err == nil || v.Outcome.Enters() {
		t.Errorf("an online verdict that could not be kept: %v", v.Outcome)
	}
}
