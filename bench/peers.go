//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"latchkey/internal/otp"
)

// Every peer checks HOTP: it needs no clock, and each right code is accepted
// once and changes what is stored, as a login should.
const peerSeed = "12345678901234567890"

// peers measures what other modules ask for a login that no network is needed
// for.
func (b *bench) peers(n int) error {
	if err := b.peer("pam_permit: no check at all", "pam_permit.so", "root", n, nil); err != nil {
		return err
	}
	for _, users := range []int{1, 10000} {
		if err := b.oath(users, n); err != nil {
			return err
		}
	}
	return b.google(n)
}

func (b *bench) oath(users, n int) error {
	path := filepath.Join(b.dir, fmt.Sprintf("users.oath.%d", users))
	var text strings.Builder
	for i := range users {
		fmt.Fprintf(&text, "HOTP bench%d - %x\n", i, peerSeed)
	}
	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		return err
	}
	name := fmt.Sprintf("libpam-oath, %d user(s) in the file", users)
	// The user in the middle of the file stands for all.
	return b.peer(name, "pam_oath.so digits=6 window=10 usersfile="+path, fmt.Sprintf("bench%d", users/2), n, hotp(0))
}

func (b *bench) google(n int) error {
	path := filepath.Join(b.dir, "google_authenticator")
	text := otp.Base32([]byte(peerSeed)) + "\n\" HOTP_COUNTER 1\n\" WINDOW_SIZE 10\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return err
	}
	return b.peer("libpam-google-authenticator", "pam_google_authenticator.so user=root secret="+path, "root", n, hotp(1))
}

// hotp makes right codes in order, beginning with a counter.
func hotp(next uint64) func() string {
	return func() string {
		code, err := otp.Code([]byte(peerSeed), next, otp.SHA1, 6)
		if err != nil {
			panic(err) // the seed is a constant
		}
		next++
		return otp.Format(code, 6)
	}
}

// peer measures n right codes and n wrong ones; without codes, n logins that
// are asked nothing.
func (b *bench) peer(name, line, user string, n int, next func() string) error {
	d, err := b.newDriver(line)
	if err != nil {
		return err
	}
	defer d.stop()
	right, wrong := make([]time.Duration, n), make([]time.Duration, n)
	for i := range right {
		if next == nil {
			right[i], err = d.login(pamSuccess, user)
		} else {
			right[i], err = d.login(pamSuccess, user, next())
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if next == nil {
		b.times(name, right)
		return nil
	}
	b.times(name+": right code", right)
	// Last, because one of the modules moves the counter on at a wrong code.
	for i := range wrong {
		if wrong[i], err = d.login(pamAuthErr, user, "000000"); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	b.times(name+": wrong code", wrong)
	return nil
}
