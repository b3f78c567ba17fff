package authn_test

import (
	"testing"

	"latchkey"
	"latchkey/internal/logon/logontest"
)

// The server passes the suite that every authority passes.
func TestAuthority(t *testing.T) {
	t.Parallel()
	logontest.Run(t, func(t *testing.T) logontest.Fixture {
		w := newWorld(t)
		w.totp(w.user("ana"))
		uid := uint32(1000)
		return logontest.Fixture{
			Authority: w.authn.ForMachine(w.machine),
			Logon:     latchkey.Logon{Scenario: latchkey.Console, Service: "login", User: "ana", UID: &uid},
			Own:       latchkey.Logon{Scenario: latchkey.Unlock, Service: "swaylock", User: "ana", UID: &uid, Caller: uid, Local: true},
			Code:      w.code, Advance: w.pass,
		}
	})
}
