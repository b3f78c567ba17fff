package enroll_test

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"latchkey"
	"latchkey/internal/api"
	"latchkey/internal/enroll"
	"latchkey/internal/otp"
	"latchkey/internal/store"
	"latchkey/internal/store/storetest"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func room(t *testing.T) (*enroll.Enroll, *store.DB) {
	t.Helper()
	now := func() time.Time { return noon }
	db, err := store.Open(t.Context(), store.Config{Dir: filepath.Join(t.TempDir(), "data"), Database: storetest.Database(t), Now: now})
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	_, err = db.AddUser(t.Context(), latchkey.User{Name: "ana", Directory: latchkey.Builtin}, latchkey.Event{Kind: latchkey.UserAdded})
	must(t, err)
	return enroll.New(db, now, rand.Reader), db
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

const secret20 = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ" // 12345678901234567890

func TestA15ToA17WhatIsTakenAsAnAuthenticator(t *testing.T) {
	t.Parallel()
	totp, hotp := latchkey.TOTP, latchkey.HOTP
	for name, tc := range map[string]struct {
		in   api.AddAuthenticator
		want string // the address, up to the label; "" where it is refused
	}{
		"a new one":                    {api.AddAuthenticator{Kind: totp}, "otpauth://totp/"},
		"a new token":                  {api.AddAuthenticator{Kind: hotp}, "otpauth://hotp/"},
		"an imported secret":           {api.AddAuthenticator{Kind: totp, Secret: secret20}, "otpauth://totp/"},
		"in lower case with spaces":    {api.AddAuthenticator{Kind: totp, Secret: strings.ToLower(secret20[:16]) + " " + secret20[16:]}, "otpauth://totp/"},
		"60 seconds, 7 digits, SHA256": {api.AddAuthenticator{Kind: totp, Secret: secret20, Algorithm: "SHA256", Digits: 7, Period: 60}, "otpauth://totp/"},
		"an address":                   {api.AddAuthenticator{Kind: hotp, URI: "otpauth://hotp/ana?secret=" + secret20 + "&counter=7"}, "otpauth://hotp/"},
		"a counter":                    {api.AddAuthenticator{Kind: hotp, Secret: secret20, Counter: 1 << 40}, "otpauth://hotp/"},
		"A20 a counter of 2^62":        {api.AddAuthenticator{Kind: hotp, Secret: secret20, Counter: 1 << 62}, "otpauth://hotp/"},

		"no kind":                        {api.AddAuthenticator{}, ""},
		"another kind":                   {api.AddAuthenticator{Kind: latchkey.FIDO2}, ""},
		"a secret with 0, 1 or 8":        {api.AddAuthenticator{Kind: totp, Secret: strings.Replace(secret20, "G", "0", 1)}, ""},
		"15 bytes":                       {api.AddAuthenticator{Kind: totp, Secret: "GEZDGNBVGY3TQOJQGEZDGNBV"}, ""},
		"5 digits":                       {api.AddAuthenticator{Kind: totp, Digits: 5}, ""},
		"10 digits":                      {api.AddAuthenticator{Kind: totp, Digits: 10}, ""},
		"300 seconds":                    {api.AddAuthenticator{Kind: totp, Period: 300}, ""},
		"MD5":                            {api.AddAuthenticator{Kind: totp, Algorithm: "MD5"}, ""},
		"A20 a counter of 2^63-1":        {api.AddAuthenticator{Kind: hotp, Counter: 1<<63 - 1}, ""},
		"A20 an address with 2^63-108":   {api.AddAuthenticator{Kind: hotp, URI: "otpauth://hotp/ana?secret=" + secret20 + "&counter=9223372036854775700"}, ""},
		"a counter beyond 2^63":          {api.AddAuthenticator{Kind: hotp, Counter: 1 << 63}, ""},
		"a period of a token":            {api.AddAuthenticator{Kind: hotp, Period: 30}, ""},
		"a counter of an app":            {api.AddAuthenticator{Kind: totp, Counter: 1}, ""},
		"an address of the other kind":   {api.AddAuthenticator{Kind: totp, URI: "otpauth://hotp/ana?secret=" + secret20 + "&counter=7"}, ""},
		"an address and a secret":        {api.AddAuthenticator{Kind: totp, URI: "otpauth://totp/ana?secret=" + secret20, Secret: secret20}, ""},
		"a label with a control letter":  {api.AddAuthenticator{Kind: totp, Label: "a\nb"}, ""},
		"a label of a thousand letters":  {api.AddAuthenticator{Kind: totp, Label: strings.Repeat("a", 1000)}, ""},
		"an address that is no address":  {api.AddAuthenticator{Kind: totp, URI: "https://example.org"}, ""},
		"an address with a strange name": {api.AddAuthenticator{Kind: totp, URI: "otpauth://totp/ana?secret=" + secret20 + "&digit=8"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, _ := room(t)
			got, err := e.AddAuthenticator(t.Context(), "admin", "ana", tc.in)
			if tc.want == "" {
				if latchkey.CodeOf(err) != latchkey.Invalid {
					t.Errorf("got %v", err)
				}
				if err != nil && strings.Contains(err.Error(), secret20) {
					t.Errorf("the error holds the secret: %v", err)
				}
				return
			}
			must(t, err)
			key, err := otp.ParseURI(got.URI)
			must(t, err)
			if !strings.HasPrefix(got.URI, tc.want) || otp.Base32(key.Secret) != got.Secret {
				t.Errorf("got %+v", got)
			}
			if tc.in.Secret != "" && otp.Base32(key.Secret) != secret20 {
				t.Errorf("another secret came back")
			}
		})
	}
}

func TestAnAuthenticatorIsListedUntilItIsRemoved(t *testing.T) {
	t.Parallel()
	e, db := room(t)
	_, err := db.AddUser(t.Context(), latchkey.User{Name: "bob", Directory: latchkey.Builtin}, latchkey.Event{Kind: latchkey.UserAdded})
	must(t, err)
	a, err := e.AddAuthenticator(t.Context(), "admin", "ANA", api.AddAuthenticator{Kind: latchkey.TOTP, Label: "phone"})
	must(t, err)
	ana, err := db.UserNamed(t.Context(), "ana")
	must(t, err)
	list, err := db.AuthenticatorsOf(t.Context(), ana.ID)
	must(t, err)
	if len(list) != 1 || list[0].ID != a.ID || list[0].Label != "phone" || list[0].Period != 30 || !list[0].CreatedAt.Equal(noon) {
		t.Errorf("listed %+v", list)
	}
	if err := e.RemoveAuthenticator(t.Context(), "admin", "bob", a.ID); latchkey.CodeOf(err) != latchkey.NotFound {
		t.Errorf("bob removed what is ana's: %v", err)
	}
	must(t, e.RemoveAuthenticator(t.Context(), "admin", "ana", a.ID))
	if err := e.RemoveAuthenticator(t.Context(), "admin", "ana", a.ID); latchkey.CodeOf(err) != latchkey.NotFound {
		t.Errorf("removed twice: %v", err)
	}
	if list, err = db.AuthenticatorsOf(t.Context(), ana.ID); err != nil || len(list) != 0 {
		t.Errorf("still listed %+v, %v", list, err)
	}
	if _, err := e.AddAuthenticator(t.Context(), "admin", "nobody", api.AddAuthenticator{Kind: latchkey.TOTP}); latchkey.CodeOf(err) != latchkey.NotFound {
		t.Errorf("for nobody: %v", err)
	}
}

func TestL13NobodyGetsMoreAuthenticatorsThanAllowed(t *testing.T) {
	t.Parallel()
	e, db := room(t)
	errs := make(chan error, 2*enroll.MaxAuthenticators)
	for range cap(errs) {
		go func() {
			_, err := e.AddAuthenticator(t.Context(), "admin", "ana", api.AddAuthenticator{Kind: latchkey.TOTP})
			errs <- err
		}()
	}
	added := 0
	for range cap(errs) {
		switch err := <-errs; {
		case err == nil:
			added++
		case latchkey.CodeOf(err) != latchkey.Conflict:
			t.Error(err)
		}
	}
	ana, err := db.UserNamed(t.Context(), "ana")
	must(t, err)
	list, err := db.AuthenticatorsOf(t.Context(), ana.ID)
	must(t, err)
	if added != enroll.MaxAuthenticators || len(list) != added {
		t.Errorf("%d were added, %d are listed", added, len(list))
	}
}

// G06: whoever gets the files without the master key gets no seed.
func TestG06NoSeedIsReadableInTheDatabase(t *testing.T) {
	t.Parallel()
	e, db := room(t)
	_, err := e.AddAuthenticator(t.Context(), "admin", "ana", api.AddAuthenticator{Kind: latchkey.TOTP, Secret: secret20, Label: "findme"})
	must(t, err)
	// Everything that the database holds is in a backup, on every engine.
	_, err = db.Backup(t.Context(), filepath.Join(db.Dir(), "backup"), "")
	must(t, err)
	raw := []byte("12345678901234567890")
	var all []byte
	entries, err := os.ReadDir(db.Dir())
	must(t, err)
	for _, f := range entries {
		b, err := os.ReadFile(filepath.Join(db.Dir(), f.Name()))
		must(t, err)
		all = append(all, b...)
	}
	if !bytes.Contains(all, []byte("findme")) {
		t.Fatal("the search finds nothing at all")
	}
	for name, form := range map[string]string{
		"raw": string(raw), "hex": hex.EncodeToString(raw), "base32": secret20, "base64": base64.StdEncoding.EncodeToString(raw)[:20],
	} {
		if bytes.Contains(all, []byte(form)) {
			t.Errorf("the seed lies there in %s", name)
		}
	}
}
