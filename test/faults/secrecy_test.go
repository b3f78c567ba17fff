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
	"os/exec"
	"path/filepath"
	"regexp"
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
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", w.laptop.PID()))
	if err != nil || len(threads) < 2 {
		t.Fatalf("the agent has %d threads, %v", len(threads), err)
	}
	for _, path := range threads {
		for _, line := range []string{"CapEff:\t0000000000000000\n", "NoNewPrivs:\t1\n"} {
			if !contains(t, path, line) {
				t.Errorf("%s lacks %q", path, line)
			}
		}
	}
}

func contains(t *testing.T, path, text string) bool {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Contains(string(data), text)
}

func owner(t *testing.T, path string) int {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return int(info.Sys().(*syscall.Stat_t).Uid)
}

func TestG06TheDatabaseWithoutItsKeyOpensNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, []string{"ana", "ben"})
	app, seed := seedOf(t, w, "totp", "ana")
	_, other := seedOf(t, w, "hotp", "ben")
	w.apps["ana"] = app
	machine := w.server.MachineToken() // not used up
	w.ready(w.laptop, "ana")

	secrets := map[string][]byte{"the seed of the app": seed, "the seed of the token": other}
	words := map[string]string{"the administrator's token": w.server.Token(), "a machine's token": machine}
	key, err := os.ReadFile(filepath.Join(w.server.Data, "master.key"))
	if err != nil {
		t.Fatal(err)
	}
	secrets["the master key"] = bytes.TrimSpace(key)
	n := files(t, w.server.Data, func(path string, info fs.FileInfo, content []byte) {
		if info.Name() == "master.key" {
			return
		}
		hides(t, content, "G06 "+path, secrets)
		for name, word := range words {
			if len(word) < 16 {
				t.Fatalf("%s is %q", name, word)
			}
			if bytes.Contains(content, []byte(word)) || bytes.Contains(content, []byte(word[len(word)-20:])) {
				t.Errorf("G06 %s holds %s", path, name)
			}
		}
	})
	if n < 2 {
		t.Fatalf("G06 there are %d files in the server's folder: the search saw nothing", n)
	}

	// Without the key the server does not make a new one and go on.
	w.server.Stop()
	if err := os.Remove(filepath.Join(w.server.Data, "master.key")); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("timeout", "10", w.Programs().Server, "serve", "--data", w.server.Data, "--listen", "127.0.0.1:0", "--agent-listen", "127.0.0.1:0")
	if out, err := cmd.CombinedOutput(); err == nil || cmd.ProcessState.ExitCode() == timedOut {
		t.Errorf("G06 the server starts without its key: %v\n%s", err, out)
	}
	if _, err := os.Stat(filepath.Join(w.server.Data, "master.key")); err == nil {
		t.Error("G06 the server made another key beside a database that the old one wraps")
	}
}

func TestAttack3NoLogHoldsACodeASeedOrAToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t, []string{"ana", "ben"})
	app, seed := seedOf(t, w, "totp", "ana")
	token, other := seedOf(t, w, "hotp", "ben")
	w.apps["ana"] = app
	secrets := map[string][]byte{"the seed of the app": seed, "the seed of the token": other}
	joined := w.server.MachineToken()
	desk := w.Lab.Machine("desk", w.clock, "ana")
	desk.Enroll(joined)
	desk.RunAgent()
	typed := []string{}
	login := func(user, code string) {
		typed = append(typed, code)
		w.laptop.Run(code+"\n", w.Programs().Agent, "login", user, "--script")
	}
	for _, cut := range []bool{false, true} {
		if cut {
			w.laptop.Do("sync")
			w.laptop.Cut(lab.PortsClosed)
		}
		code := w.code("ana")
		for _, c := range []string{code, code, "483920", "ABCD-EFGH-1234-9876", strings.Repeat("7391", 40)} {
			login("ana", c)
		}
		login("ben", token.Press())
		login("nobody-here", "772211")
	}
	w.laptop.Restore()
	w.laptop.Do("sync")
	// A token and a code where a name belongs, as hurried people type them.
	w.laptop.Run("", w.Programs().Agent, "enroll", "lk1_notatoken_"+strings.Repeat("Q", 40), "--state", w.laptop.State)

	logs := map[string]string{"the server": w.server.Log(), "the agent": w.laptop.Log(), "another agent": desk.Log(), "the audit trail": w.server.Do("audit", "list", "--json", "--limit", "1000")}
	for where, log := range logs {
		if len(log) < 100 {
			t.Fatalf("the log of %s is %q: the search saw nothing", where, log)
		}
		hides(t, []byte(log), where, secrets)
		for _, code := range typed {
			if regexp.MustCompile(`(^|[^0-9a-f.])` + regexp.QuoteMeta(code) + `($|[^0-9a-f])`).MatchString(log) {
				t.Errorf("attack 3: the log of %s holds the answer %s", where, code)
			}
		}
		for _, secret := range []string{joined, joined[len(joined)-24:], w.server.Token()} {
			if strings.Contains(log, secret) {
				t.Errorf("attack 3: the log of %s holds a token", where)
			}
		}
	}
}
