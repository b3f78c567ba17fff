package ipc

import (
	"strings"
	"testing"
	"unicode/utf8"

	"latchkey/internal/frame"
)

// The server refuses a logon with a longer field, and a refusal reads as a
// server that cannot be asked: then any user of the machine could take everybody
// on it offline.
func TestWhateverAFrontEndSaysFitsWhatTheServerTakes(t *testing.T) {
	t.Parallel()
	s, _ := newServer(t, &desk{})
	for name, long := range map[string]string{
		"letters":            strings.Repeat("x", 512),
		"letters of 3 bytes": strings.Repeat("€", 170),
		"bytes of no letter": strings.Repeat("\xffx", 256),
	} {
		b := frame.Begin{
			Op: frame.OpAuthenticate, Scenario: "unlock", Service: long[:128], User: "ana", UID: number(1001),
			RUser: long, RHost: long, TTY: long[:256],
		}
		l, err := s.logonOf(b, Caller{UID: 1001})
		if err != nil {
			t.Fatal(err)
		}
		for _, field := range []string{l.Service, l.RUser, l.RHost, l.TTY} {
			if field == "" || len(field) > 256 || !utf8.ValidString(field) {
				t.Errorf("%s: a field of %d bytes", name, len(field))
			}
		}
	}
}
