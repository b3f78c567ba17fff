package bugreport

import (
	"bytes"
	"crypto/rand"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"latchkey/internal/bugreport/bugreporttest"
)

func fresh(t *testing.T, keepNames bool) *Report {
	t.Helper()
	r, err := New(rand.Reader, keepNames, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestWhateverLooksLikeASecretIsReplaced(t *testing.T) {
	t.Parallel()
	raw := make([]byte, 32)
	for i := range raw {
		raw[i] = byte(i*37 + 11)
	}
	seed := base32.StdEncoding.EncodeToString(raw[:20])
	s := fresh(t, true).Scrub
	for name, text := range map[string]string{
		"a code":                     "answer 918273 was wrong",
		"a code in two parts":        "answer 918 273 was wrong",
		"a long code":                "91827364",
		"a seed":                     "key " + seed,
		"a seed in small letters":    "secret=" + strings.ToLower(seed),
		"an otpauth address":         "otpauth://totp/Latchkey:ana?secret=" + seed + "&issuer=x",
		"an administrator's token":   "lka_" + base64.RawURLEncoding.EncodeToString(raw),
		"a header":                   "Authorization: Bearer abcdef",
		"hex":                        "read " + hex.EncodeToString(raw),
		"capital hex":                strings.ToUpper(hex.EncodeToString(raw[:8])),
		"base64":                     base64.StdEncoding.EncodeToString(raw),
		"base64 for addresses":       "/x/" + base64.RawURLEncoding.EncodeToString(raw),
		"a key":                      "-----BEGIN PRIVATE KEY-----\nMC4\n-----END PRIVATE KEY-----",
		"a key that was cut":         "-----BEGIN EC PRIVATE KEY-----\nMC4CAQ",
		"a password in an address":   "postgres://latchkey:hunter2@db/latchkey",
		"a password before a host":   "https://ana:hunter2@proxy.example/",
		"a password as an argument":  "auth required pam_mysql.so passwd=hunter2",
		"a password in quotes":       `db_password="hunter2 and more"`,
		"bytes as a list":            fmt.Sprint(raw),
		"an emergency code":          "7K3QF-X8M2P-9TW4R",
		"a seed without a digit":     "MFRGGZDFMZTWQYLC",
		"more of one":                "key=MFRGGZDFMZTWQYLCMFRGGZDF, MFRGGZDFMZTWQYLC",
		"a code behind a line":       "otp_918273 was wrong",
		"a code between letters":     "typed x918273y",
		"a long word of all letters": "QWxhZGRpbjpvcGVuIHNlc2FtZQx",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := s.Text(text)
			if !strings.Contains(got, hidden) && !strings.Contains(got, digits) {
				t.Errorf("%q stays %q", text, got)
			}
			for _, bad := range []string{"918273", "918 273", "MFRGGZ", seed, strings.ToLower(seed), "hunter2", "and more", "MC4", "7K3QF", "abcdef", hex.EncodeToString(raw[:6])} {
				if strings.Contains(got, bad) {
					t.Errorf("%q becomes %q", text, got)
				}
			}
		})
	}
}

func TestWhatSupportNeedsStays(t *testing.T) {
	t.Parallel()
	s := fresh(t, false).Scrub
	for _, text := range []string{
		"opening vault: reading ledger: permission denied",
		`auth required pam_latchkey.so socket=/run/latchkey/login.sock timeout=30`,
		"-rw------- size=32 2026-11-21T21:36:00Z /var/lib/latchkey/master.key",
		"/usr/lib/x86_64-linux-gnu/security/pam_latchkey.so",
		"systemctl restart latchkey-agent, then journalctl -u latchkey-agent",
		"dial tcp 127.0.0.1:8444: connect: connection refused",
		"schema 0003.sql: no such table: events",
		"the server answered after 12.345678ms, at 21:47:05.123456789Z",
		"AuthenticationMethods publickey,keyboard-interactive:pam keyboard-interactive:pam",
		"6.1.0-28-amd64", "Debian GNU/Linux 12 (bookworm)", "auth [success=1 default=ignore] pam_unix.so nullok",
	} {
		if got := s.Text(text); got != text {
			t.Errorf("%q becomes %q", text, got)
		}
	}
	if got := s.Text(`{"time":"2026-11-21T21:47:05.7Z","level":"INFO","msg":"request","status":503,"took_ms":123456,"code":"not_found"}`); !strings.Contains(got, `123456`) || !strings.Contains(got, "2026-11-21T21:47:05.7Z") || !strings.Contains(got, "not_found") {
		t.Errorf("a line of the log becomes %s", got)
	}
}

func TestWhatStandsInASecretIsOne(t *testing.T) {
	t.Parallel()
	got := fresh(t, true).Scrub.Text(`{"token":{"id":"plain","rows":918273,"parts":["one",{"name":"two"}]},"msg":"kept"}`)
	for _, bad := range []string{"plain", "918273", "one", "two"} {
		if strings.Contains(got, bad) {
			t.Errorf("%s stays in %s", bad, got)
		}
	}
	if !strings.Contains(got, "kept") {
		t.Errorf("nothing is left: %s", got)
	}
}

func TestANameIsTheSameNameEverywhereInOneReportOnly(t *testing.T) {
	t.Parallel()
	pack := func() string {
		r := fresh(t, false)
		r.Scrub.Know("user", "ben.smith", "José")
		r.Scrub.Know("machine", "front desk 3")
		r.Text("early.txt", "ANA@corp did it to josé from 192.0.2.7:50123 and fe80::1%eth0\n/home/ana/x ben.smith@front-office Ben.Smith, on front desk 3")
		r.JSON("status.json", map[string]any{"user": "ana", "rhost": "192.0.2.7", "users": []string{"group:staff", "ana"}, "url": "https://vpn.example.org:8443/x"})
		path := filepath.Join(t.TempDir(), "r.tar.gz")
		if err := r.Write(path); err != nil {
			t.Fatal(err)
		}
		_, all := bugreporttest.Open(t, path)
		bugreporttest.Lacks(t, all, map[string][]byte{
			"a name": []byte("ana"), "another": []byte("ben.smith"), "its half": []byte("smith"), "letters beyond ASCII": []byte("josé"), "a machine": []byte("front desk"),
			"an address": []byte("192.0.2.7"), "an IPv6 address": []byte("fe80::1"), "a host": []byte("vpn.example"), "a group": []byte("staff"),
		})
		return all
	}
	one := pack()
	names := regexp.MustCompile(`user-[0-9a-f]{8}`).FindAllString(one, -1)
	count := map[string]int{}
	for _, n := range names {
		count[n]++
	}
	if len(count) != 4 { // ana, ben.smith, josé, and the group
		t.Errorf("%d pseudonyms of 4 names: %v\n%s", len(count), count, one)
	}
	for _, n := range names {
		if strings.Contains(pack(), n) {
			t.Errorf("%s is in two reports", n)
		}
	}
}

func TestNamesStayWhereTheyAreAskedForAndSecretsDoNot(t *testing.T) {
	t.Parallel()
	s := fresh(t, true).Scrub
	s.Know("user", "ana")
	if got := s.Text(`{"user":"ana","rhost":"192.0.2.7","msg":"ana typed 918273"}`); !strings.Contains(got, `"user":"ana"`) || !strings.Contains(got, "192.0.2.7") || strings.Contains(got, "918273") {
		t.Error(got)
	}
}

func TestAReportOverwritesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	link, target, there := filepath.Join(dir, "link"), filepath.Join(dir, "target"), filepath.Join(dir, "there")
	if err := errors.Join(os.Symlink(target, link), os.WriteFile(there, []byte("mine"), 0o644)); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{link, there, filepath.Join(dir, "no", "folder")} {
		if err := fresh(t, false).Write(path); err == nil {
			t.Errorf("%s was written", path)
		}
	}
	if _, err := os.Lstat(target); err == nil {
		t.Error("a link was followed")
	}
	if b, err := os.ReadFile(there); err != nil || string(b) != "mine" {
		t.Errorf("%s, %v", b, err)
	}
}

func FuzzNoDigitsOfACodeSurvive(f *testing.F) {
	f.Add("answer ", " was wrong")
	f.Add("code=", ";")
	f.Fuzz(func(t *testing.T, before, after string) {
		if strings.Contains(before, "{") {
			t.Skip("in documents, fields that count keep their numbers")
		}
		r, err := New(rand.Reader, false, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		r.Scrub.Know("user", "ana")
		// A letter or digit beside it makes it part of something longer.
		out := r.Scrub.lines([]byte(before + " 918273 " + after))
		if bytes.Contains(out, []byte("918273")) && !strings.Contains(before+after, "918273") {
			t.Errorf("%q", out)
		}
	})
}
