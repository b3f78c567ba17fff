//go:build linux

package main

import (
	"encoding/base32"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"latchkey/internal/bugreport/bugreporttest"
)

// shell is latchkey as the first administrator's.
func (r *running) shell(args ...string) *exec.Cmd {
	cmd := exec.Command("latchkey", args...)
	cmd.Env = append(os.Environ(), "LATCHKEY_SERVER="+r.url, "LATCHKEY_TOKEN="+r.token, "LATCHKEY_CA="+filepath.Join(r.dir, "ca.pem"))
	return cmd
}

func (r *running) must(v any, args ...string) {
	r.Helper()
	out, err := r.shell(append(args, "--json")...).Output()
	if err != nil {
		r.Fatalf("latchkey %q: %v %s", args, err, out)
	}
	r.ok(json.Unmarshal(out, v))
}

func TestAServersReportHoldsNoSecretAndNoName(t *testing.T) {
	t.Parallel()
	r := runServer(t)
	var ignored any
	r.must(&ignored, "user", "add", "marguerite", "--group", "astronauts")
	var made struct{ Secret, URI, ID string }
	r.must(&made, "authenticator", "add", "totp", "marguerite")
	var token struct{ Token string }
	r.must(&token, "machine", "token", "create")
	policy := filepath.Join(t.TempDir(), "p.json")
	r.ok(os.WriteFile(policy, []byte(`{"name":"moonshot","priority":7,"users":["group:astronauts","marguerite"]}`), 0o600))
	r.must(&ignored, "policy", "set", "-f", policy)

	master, err := os.ReadFile(filepath.Join(r.dir, "master.key"))
	r.ok(err)
	key, err := os.ReadFile(filepath.Join(r.dir, "key.pem"))
	r.ok(err)
	seed, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.TrimRight(strings.ReplaceAll(made.Secret, " ", ""), "="))
	r.ok(err)
	log := filepath.Join(t.TempDir(), "server.log")
	r.ok(os.WriteFile(log, fmt.Appendf(nil, "%s\n{\"msg\":\"x\",\"actor\":\"marguerite\",\"from\":\"198.51.100.23\",\"error\":\"code 91827364, %s\",\"secret\":%q}\nMarguerite: %s %s %x %s\npanic: Authorization: Bearer %s\n",
		made.URI, made.Secret, made.Secret, strings.ToLower(made.Secret), token.Token, master, key, r.token), 0o600))

	out := filepath.Join(t.TempDir(), "report.tar.gz")
	if text, err := r.shell("bugreport", "--data", r.dir, "--out", out, "--log", log).CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, text)
	}
	parts, all := bugreporttest.Open(t, out)
	bugreporttest.Lacks(t, all, map[string][]byte{
		"the seed": seed, "the seed's text": []byte(made.Secret), "the code": []byte("91827364"), "the administrator's token": []byte(r.token[4:]),
		"the machine's token": []byte(token.Token[4:]), "the master key": master, "the TLS key": []byte(strings.Split(string(key), "\n")[1]),
		"the user": []byte("marguerite"), "the group": []byte("astronauts"), "the policy": []byte("moonshot"), "the address": []byte("198.51.100.23"),
	})
	for name, has := range map[string]string{
		"program.json": `"LATCHKEY_TOKEN"`, "machine.json": `"kernel"`, "config-check.json": `"ok": true`, "database.json": `"schema_number"`,
		"policies.json": `"priority": 7`, "doctor.json": `"accepted"`, "log.txt": "[secret]", "data.txt": "master.key", "server.json.txt": "tls_certificate", "README.txt": "Read it",
	} {
		if !strings.Contains(parts[name], has) {
			t.Errorf("%s does not say %s: %q", name, has, parts[name])
		}
	}
	if text, err := r.shell("bugreport", "--data", r.dir, "--out", out, "--log", log).CombinedOutput(); err == nil || !strings.Contains(string(text), "exists") {
		t.Errorf("a second report over the first: %v %s", err, text)
	}

	named := filepath.Join(t.TempDir(), "named.tar.gz")
	if text, err := r.shell("bugreport", "--data", r.dir, "--out", named, "--log", log, "--names").CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, text)
	}
	_, all = bugreporttest.Open(t, named)
	if !strings.Contains(all, "moonshot") || !strings.Contains(all, "198.51.100.23") {
		t.Error("--names leaves no names")
	}
	bugreporttest.Lacks(t, all, map[string][]byte{"the seed": seed, "the seed's text": []byte(made.Secret), "the token": []byte(r.token[4:]), "the master key": master})
}

func TestAReportIsMadeOfABrokenServer(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "latchkey.db"), []byte("no database at all"), 0o600); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "report.tar.gz")
	if text, err := exec.Command("latchkey", "bugreport", "--data", dir, "--out", out, "--server", "https://127.0.0.1:1").CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, text)
	}
	parts, _ := bugreporttest.Open(t, out)
	if parts["database.json.missing.txt"] == "" || !strings.Contains(parts["config-check.json"], `"ok": false`) {
		t.Errorf("%v", parts)
	}
}
