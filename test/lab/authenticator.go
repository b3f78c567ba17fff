//go:build linux

package lab

import (
	"fmt"
	"net/url"
	"os/exec"
	"strings"
	"time"
)

// An Authenticator is a person's app or token. Its codes come from oathtool,
// so that our arithmetic is never checked with our own.
type Authenticator struct {
	tb                        TB
	secret, algorithm, digits string
	Period                    time.Duration // of a TOTP authenticator, else 0
	Counter                   uint64        // of an HOTP authenticator: the next button press
	hotp                      bool
}

// Scan reads the otpauth URI of a QR code.
func Scan(tb TB, uri string) *Authenticator {
	tb.Helper()
	u, err := url.Parse(uri)
	must(tb, err)
	q := u.Query()
	a := &Authenticator{
		tb: tb, secret: q.Get("secret"), algorithm: or(q.Get("algorithm"), "SHA1"), digits: or(q.Get("digits"), "6"),
		hotp: u.Host == "hotp",
	}
	if u.Scheme != "otpauth" || (u.Host != "totp" && u.Host != "hotp") || a.secret == "" {
		tb.Fatalf("lab: not an otpauth URI: %s", uri)
	}
	if !a.hotp {
		a.Period, err = time.ParseDuration(or(q.Get("period"), "30") + "s")
		must(tb, err)
	}
	_, err = fmt.Sscan(or(q.Get("counter"), "0"), &a.Counter)
	must(tb, err)
	return a
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// Code returns the code that a TOTP app shows at a time.
func (a *Authenticator) Code(at time.Time) string {
	a.tb.Helper()
	return a.oathtool("--totp="+a.algorithm, a.step(), fmt.Sprintf("--now=@%d", at.Unix()))
}

// Press presses the button of an HOTP token and returns the code it shows.
func (a *Authenticator) Press() string {
	a.tb.Helper()
	code := a.oathtool("--hotp", fmt.Sprintf("--counter=%d", a.Counter))
	a.Counter++
	return code
}

func (a *Authenticator) step() string {
	return fmt.Sprintf("--time-step-size=%ds", int(a.Period.Seconds()))
}

// command reads the secret from its input: arguments are for all to see.
func (a *Authenticator) command(args ...string) []string {
	return append(append([]string{"oathtool"}, args...), "--base32", "--digits="+a.digits, "-")
}

func (a *Authenticator) oathtool(args ...string) string {
	a.tb.Helper()
	words := a.command(args...)
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Stdin = strings.NewReader(a.secret + "\n")
	out, err := cmd.CombinedOutput()
	if err != nil {
		a.tb.Fatalf("lab: %v: %v: %s", cmd.Args, err, out)
	}
	return strings.TrimSpace(string(out))
}
