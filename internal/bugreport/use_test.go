package bugreport

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"latchkey/internal/bugreport/bugreporttest"
)

func packed(t *testing.T, r *Report) map[string]string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "r.tar.gz")
	if err := r.Write(path); err != nil {
		t.Fatal(err)
	}
	parts, _ := bugreporttest.Open(t, path)
	return parts
}

func TestOurOwnWordsStayAndNamesInThemDoNot(t *testing.T) {
	t.Parallel()
	r := fresh(t, false)
	r.Scrub.Know("user", "zed")
	r.Scrub.Ours("login socket", "sudo-i", "vpn-zed", "sshd, Match ")
	r.JSON("doctor.json", map[string]any{"checks": []map[string]string{{"name": "login socket"}, {"name": "sudo-i"}, {"name": "vpn-zed"}, {"name": "sshd, Match user ben"}, {"name": "stranger"}}})
	got := packed(t, r)["doctor.json"]
	for _, has := range []string{`"login socket"`, `"sudo-i"`, `"vpn-user-`, `"sshd, Match match-`, `"name-`} {
		if !strings.Contains(got, has) {
			t.Errorf("no %s in %s", has, got)
		}
	}
	for _, bad := range []string{"zed", "ben", "stranger"} {
		if strings.Contains(got, bad) {
			t.Errorf("%s stays in %s", bad, got)
		}
	}
}

func TestSentencesAndCountsStay(t *testing.T) {
	t.Parallel()
	s := fresh(t, false).Scrub
	for _, text := range []string{
		"a user with that name exists", "with less than your rights", "PermitRootLogin prohibit-password", "PermitEmptyPasswords yes",
		"not an Ed25519 private key", "method password has one field and cannot show the code's prompt", "authenticationmethods publickey",
		"the agent does not answer: dial unix /run/latchkey/admin.sock: connect: no such file or directory",
		"2026-11-21 21:47:05 listening on 127.0.0.1:8444", "open /etc/passwd: permission denied", "1.45 11.60 12.52 3/114 11762",
		`{"rows":{"enrollment_tokens":5,"users":1234567}}`, `{"factors":["totp","fido"],"outcome":"deny","reason":"wrong_code"}`,
	} {
		if got := s.Text(text); got != text {
			t.Errorf("%q becomes %q", text, got)
		}
	}
}

func TestSocketsArePathsAndPeopleAreNot(t *testing.T) {
	t.Parallel()
	r := fresh(t, false)
	r.Text("log.txt", `{"msg":"serving","admin":"/run/latchkey/admin.sock"}`+"\n"+`{"admin":"zed"}`+"\n"+`{"admin":"/zed"}`+"\ndial unix /run/latchkey/admin.sock: refused\n")
	got := packed(t, r)["log.txt"]
	if strings.Count(got, "/run/latchkey/admin.sock") != 2 || strings.Contains(got, "zed") {
		t.Error(got)
	}
}

func TestAFolderKeepsItsShape(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	user := filepath.Join(dir, "users", "usr_00112233445566778899aabbccddeeff")
	other := filepath.Join(dir, "users", "zed")
	for _, d := range []string{user, other} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(d, "chunk-"+strings.Repeat("0f", 32)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := fresh(t, false)
	r.Folder("state.txt", dir)
	got := packed(t, r)["state.txt"]
	if !regexp.MustCompile(`"path":"users/usr_[a-z]{8}/chunk-[a-z]{8}"`).MatchString(got) || !regexp.MustCompile(`"path":"users/user-[0-9a-f]{8}/chunk-[a-z]{8}"`).MatchString(got) {
		t.Error(got)
	}
	if strings.Contains(got, "zed") || strings.Contains(got, "0011") || strings.Contains(got, "0f0f") {
		t.Error(got)
	}
}

func TestTheMachinesNumbersStay(t *testing.T) {
	t.Parallel()
	r := fresh(t, false)
	r.Machine(t.TempDir())
	var about struct {
		Memory map[string]int64 `json:"memory"`
		Uptime int64            `json:"uptime_seconds"`
	}
	if err := json.Unmarshal([]byte(packed(t, r)["machine.json"]), &about); err != nil {
		t.Fatal(err)
	}
	if about.Memory["total_kib"] < 1000 || about.Memory["available_kib"] == 0 {
		t.Errorf("%v", about)
	}
}

// It replaces PATH, so that it cannot be parallel.
func TestALogThatIsNotThereIsNoted(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	tool := func(name, script string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	empty := filepath.Join(dir, "empty.log")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tool("systemctl", "echo not booted with systemd >&2; exit 1")
	for script, wants := range map[string]string{
		"echo No journal files were found. >&2": "No journal files were found",
		"echo; echo -- No entries --":           "nothing to say of it (--unit=x.service",
	} {
		tool("journalctl", script)
		r := fresh(t, false)
		r.Service(context.Background(), "x.service")
		r.File("other.txt", empty)
		parts := packed(t, r)
		if !strings.Contains(parts["log.txt.missing.txt"], wants) || !strings.Contains(parts["service.txt.missing.txt"], "not booted") || !strings.Contains(parts["other.txt.missing.txt"], "empty") {
			t.Errorf("%s: %v", script, parts)
		}
	}
	tool("journalctl", "echo a line")
	r := fresh(t, false)
	r.Service(context.Background(), "x.service")
	if parts := packed(t, r); parts["log.txt"] != "a line\n" || parts["log.txt.missing.txt"] != "" {
		t.Errorf("%v", parts)
	}
}

// Of a long log the end is what somebody needs, and no half of a line.
func TestOfALongLogTheEndIsRead(t *testing.T) {
	t.Parallel()
	log := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(log, []byte(strings.Repeat("first line\n", 10)+"half a line\nthe end\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for most, want := range map[int64]string{
		1000: strings.Repeat("first line\n", 10) + "half a line\nthe end\n",
		14:   "[the beginning was cut]\nthe end\n",
		4:    "[the beginning was cut]\n",
	} {
		if got, err := readEnd(log, most); err != nil || got != want {
			t.Errorf("of %d bytes: %q, %v", most, got, err)
		}
	}
}
