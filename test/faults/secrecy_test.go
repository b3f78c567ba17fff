//go:build linux

package faults_test

import (
	"bytes"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"latchkey/test/lab"
)

// spellings are the ways in which a secret may lie around.
func spellings(secret []byte) map[string][]byte {
	b32 := base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(secret)
	return map[string][]byte{
		"raw":            secret,
		"hex":            []byte(hex.EncodeToString(secret)),
		"HEX":            []byte(strings.ToUpper(hex.EncodeToString(secret))),
		"base32":         []byte(b32),
		"base32 lower":   []byte(strings.ToLower(b32)),
		"base64":         []byte(strings.TrimRight(base64.StdEncoding.EncodeToString(secret), "=")),
		"base64url":      []byte(strings.TrimRight(base64.URLEncoding.EncodeToString(secret), "=")),
		"base64 of text": []byte(strings.TrimRight(base64.StdEncoding.EncodeToString([]byte(b32)), "=")),
	}
}

// hides fails the test where data holds a secret in any spelling.
func hides(t *testing.T, data []byte, where string, secrets map[string][]byte) {
	t.Helper()
	for name, secret := range secrets {
		for how, text := range spellings(secret) {
			if bytes.Contains(data, text) {
				t.Errorf("%s holds %s (%s)", where, name, how)
			}
		}
	}
}

// seedOf makes an authenticator and returns it with its seed.
func seedOf(t *testing.T, w *world, kind, user string) (*lab.Authenticator, []byte) {
	t.Helper()
	var made struct{ URI, Secret string }
	w.server.JSON(&made, "authenticator", "add", kind, user)
	seed, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(made.Secret)
	if err != nil || len(seed) < 16 {
		t.Fatalf("the secret of a new %s is %d bytes (%v)", kind, len(seed), err)
	}
	return lab.Scan(t, made.URI), seed
}

// memory is all that a process has in memory of its own and may write to.
func memory(t *testing.T, p *lab.Process) []byte {
	t.Helper()
	p.Pause()
	defer p.Resume()
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", p.PID()))
	if err != nil {
		t.Fatal(err)
	}
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", p.PID()))
	if err != nil {
		t.Fatal(err)
	}
	defer mem.Close()
	var all bytes.Buffer
	for line := range strings.Lines(string(maps)) {
		var from, to uint64
		var mode string
		if _, err := fmt.Sscanf(line, "%x-%x %s", &from, &to, &mode); err != nil {
			t.Fatalf("%v in %q", err, line)
		}
		if !strings.HasPrefix(mode, "rw") {
			continue
		}
		if _, err := io.Copy(&all, io.NewSectionReader(mem, int64(from), int64(to-from))); err != nil {
			t.Fatalf("reading memory at %x: %v", from, err)
		}
	}
	return all.Bytes()
}

// files calls f with the content of every file under a folder.
func files(t *testing.T, dir string, f func(path string, info fs.FileInfo, content []byte)) (n int) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		var content []byte
		if d.Type().IsRegular() {
			n++
			if content, err = os.ReadFile(path); err != nil {
				return err
			}
		}
		f(path, info, content)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestTheCodesOfAMachineHoldNoSeed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, []string{"ana", "ben"})
	app, seed := seedOf(t, w, "totp", "ana")
	token, other := seedOf(t, w, "hotp", "ben")
	w.apps["ana"] = app
	secrets := map[string][]byte{"the seed of the app": seed, "the seed of the token": other}

	w.ready(w.laptop, "ana")
	w.want(w.laptop.Login("ben", token.Press()), online)
	w.laptop.Do("sync")
	w.laptop.Cut(lab.Unplugged)
	w.want(w.in(w.laptop, "ana"), offline) // the books are open now
	w.want(w.laptop.Login("ben", token.Press()), offline)

	if n := files(t, w.laptop.State, func(path string, _ fs.FileInfo, content []byte) {
		hides(t, content, "G01 "+path, secrets)
	}); n < 5 {
		t.Fatalf("G01 there are %d files in the state directory: the search saw nothing", n)
	}
	dump := memory(t, &w.laptop.Process)
	hides(t, dump, "G02 the agent's memory", secrets)

	// The search itself can find things.
	if !bytes.Contains(dump, []byte("laptop")) || len(dump) < 1<<20 {
		t.Fatalf("G02 %d bytes of memory without the machine's own name: the search saw nothing", len(dump))
	}
}

func TestTheStateOfAMachineIsItsAgentsAlone(t *testing.T) {
	t.Parallel()
	w := newAna(t)
	w.ready(w.laptop, "ana")
	w.laptop.Cut(lab.Unplugged)
	w.want(w.in(w.laptop, "ana"), offline)

	uid := owner(t, w.laptop.State)
	files(t, w.laptop.State, func(path string, info fs.FileInfo, _ []byte) {
		most := fs.FileMode(0o600)
		if info.IsDir() {
			most = 0o700
		}
		if info.Mode().Perm()&^most != 0 {
			t.Errorf("G05 %s has mode %v", path, info.Mode())
		}
		if got := owner(t, path); got != uid || got == 0 {
			t.Errorf("G05 %s belongs to uid %d, want the agent's %d", path, got, uid)
		}
	})
	files(t, w.server.Data, func(path string, info fs.FileInfo, _ []byte) {
		public := filepath.Base(path) == "ca.pem" || filepath.Base(path) == "ca.crt"
		if info.Mode().Perm()&0o077 != 0 && !public {
			t.Errorf("G05 on the server %s has mode %v", path, info.Mode())
		}
	})
	// The agent's own process: no core file, not readable by its own user.
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", w.laptop.PID()))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(limits)) {
		if f := strings.Fields(line); strings.HasPrefix(line, "Max core file size") && f[4] != "0" {
			t.Errorf("G02 core files may be %s bytes", f[4])
		}
	}
	if owner(t, fmt.Sprintf("/proc/%d/mem", w.laptop.PID())) != 0 {
		t.Error("G02 the agent's user may read the agent's memory")
	}
}

func owner(t *testing.T, path string) int {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return int(info.Sys().(*syscall.Stat_t).Uid)
}
