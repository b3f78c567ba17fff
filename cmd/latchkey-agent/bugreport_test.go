//go:build linux

package main

import (
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"latchkey/internal/bugreport/bugreporttest"
	"latchkey/internal/otp"
)

// plant LOG: a log that somebody made without care.
func plant(ts *testscript.TestScript, _ bool, args []string) {
	b := backends[ts]
	raw, seed := []byte(b.key), otp.Base32(b.key)
	text := fmt.Sprintf("{\"msg\":\"logon\",\"user\":\"ana\",\"rhost\":\"198.51.100.23\",\"answer\":\"918273\",\"error\":\"ana of marguerite typed 91827364 with %s\"}\n", seed) +
		fmt.Sprintf("Ana's key: %x %q %v %s otpauth://totp/ana?secret=%s\n%s\nMarguerite Hamilton\n", raw, raw, raw, base64.StdEncoding.EncodeToString(raw), seed, ts.Getenv("TOKEN"))
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o600))
}

// clean REPORT STATE: the report holds nothing of the planted secrets, of the
// state directory's keys, and nobody's name.
func clean(ts *testscript.TestScript, _ bool, args []string) {
	_, all, err := bugreporttest.Unpack(ts.MkAbs(args[0]))
	ts.Check(err)
	b := backends[ts]
	secrets := map[string][]byte{
		"the seed": b.key, "the seed's text": []byte(otp.Base32(b.key)), "a code": []byte("91827364"), "the environment": []byte("plantedplanted"),
		"the machine's token": []byte(ts.Getenv("TOKEN"))[8:], "a password of PAM": []byte("hunter2"), "an address": []byte("198.51.100.23"),
		"a user": []byte("ana"), "an account": []byte("marguerite"), "a person": []byte("Hamilton"), "the machine": []byte("frontdesk7"),
	}
	keys := 0
	ts.Check(filepath.WalkDir(filepath.Join(ts.MkAbs(args[1]), "keys"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path)
		if block, _ := pem.Decode(raw); block != nil {
			raw = block.Bytes
		}
		keys++
		secrets["the file "+path] = raw[len(raw)/2 : len(raw)/2+16]
		return err
	}))
	if keys == 0 {
		ts.Fatalf("%s has no keys", args[1])
	}
	if found := bugreporttest.Find(all, secrets); len(found) > 0 {
		ts.Fatalf("%s\n%s", strings.Join(found, "\n"), all)
	}
}

// reports REPORT PART REGEXP: a part of the report says this.
func reports(ts *testscript.TestScript, _ bool, args []string) {
	parts, _, err := bugreporttest.Unpack(ts.MkAbs(args[0]))
	ts.Check(err)
	if !regexp.MustCompile(args[2]).MatchString(parts[args[1]]) {
		ts.Fatalf("%s does not say %s:\n%s", args[1], args[2], parts[args[1]])
	}
}
