package bugreport

import (
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// named are fields that hold a name, whatever it is.
var named = map[string]string{
	"user": "user", "users": "user", "ruser": "user", "username": "user", "user_name": "user", "logname": "user", "actor": "user", "admin": "user", "owner": "user",
	"created_by": "user", "email": "mail", "mail": "mail", "principal": "user",
	"policy": "policy", "policies": "policy", "name": "name", "names": "user", "label": "name", "machine": "machine", "group": "group", "groups": "group",
	"rhost": "host", "from": "host", "host": "host", "hostname": "host",
}

// secretive are parts of field names that hold what nobody may see.
var secretive = []string{
	"secret", "token", "password", "passwd", "passphrase", "passcode", "pwd", "seed", "private", "cookie", "authorization", "credential", "apikey", "api_key",
	"nonce", "proof", "answer", "pins", "identity_key", "sealing_key", "signing_key",
}

// secretWords are whole field names of the kind.
var secretWords = []string{"pw", "pin", "psk", "pass", "otp", "typed", "response"}

func isSecretive(field string) bool {
	return slices.Contains(secretWords, field) || slices.ContainsFunc(secretive, func(part string) bool { return strings.Contains(field, part) })
}

// isFlag: an argument whose next one is a secret.
func isFlag(arg string) bool {
	name := strings.ToLower(strings.TrimLeft(arg, "-"))
	return flag.MatchString(arg) && isSecretive(name)
}

var flag = regexp.MustCompile(`^-{0,2}[A-Za-z0-9_-]+$`)

// socket is where a program listens: some fields hold that or a name.
var socket = regexp.MustCompile(`^(/(var/)?run/|/var/lib/|/tmp/|\\\\\.\\pipe\\)[^\s]+$`)

// kindOf is what a field's text names, "" if nothing.
func kindOf(field, text string) string {
	if field == "admin" && socket.MatchString(text) {
		return ""
	}
	return named[field]
}

// kinds are prefixes that say of what kind the rest is.
var kinds = map[string]bool{"group": true, "user": true, "machine": true, "admin": true, "policy": true}

// named replaces a name that a field holds.
func (s *Scrub) named(kind, text string) string {
	if isAddress(text) || s.ours[text] {
		return s.Text(text)
	}
	for _, sep := range []string{":", "Match "} {
		prefix, rest, ok := strings.Cut(text, sep)
		switch {
		case ok && kinds[prefix] && sep == ":":
			return prefix + sep + s.Name(prefix, rest)
		case ok && s.ours[prefix+sep]:
			return prefix + sep + s.Name("match", rest)
		}
	}
	return s.Name(kind, text)
}

// isAddress: an address, or a row's id, has a pseudonym of its own in every
// text.
func isAddress(text string) bool {
	_, notIP := netip.ParseAddr(strings.Trim(text, "[]"))
	_, notPort := netip.ParseAddrPort(text)
	return notIP == nil || notPort == nil || strings.Contains(text, "://") || isID(text)
}

// isID: the id of a row gets a pseudonym, and hides as well as [secret] does.
func isID(text string) bool { return text != "" && id.FindString(text) == text }
