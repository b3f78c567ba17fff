//go:build linux

package agent_test

import (
	"log/slog"
	"testing"
	"time"

	"latchkey"
	"latchkey/internal/agent"
	"latchkey/internal/agent/online"
	"latchkey/internal/logon/logontest"
	"latchkey/internal/otp"
)

// The agent's client for the server passes the suite that every authority
// passes: through TLS, with the machine's own memory behind it.
func TestTheServerFromAfarIsAnAuthorityLikeAnyOther(t *testing.T) {
	t.Parallel()
	logontest.Run(t, func(t *testing.T) logontest.Fixture {
		w := newWorld(t)
		w.stop = func() {}
		w.user("ana")
		w.still.Store(ptr(w.now())) // codes must not change while they are typed
		a, err := agent.Open(agent.Config{
			State: w.state, Log: slog.New(slog.DiscardHandler), Clock: w.reading, Passwd: w.passwd(),
			Budgets: online.Budgets{Connect: time.Minute, Total: time.Minute},
		})
		w.ok(err)
		t.Cleanup(func() { w.ok(a.Close()) })
		uid := uint32(1001)
		l := latchkey.Logon{Scenario: latchkey.Console, Service: "login", User: "ana", UID: &uid, Local: true}
		own := l
		own.Scenario, own.Service, own.Caller = latchkey.Unlock, "swaylock", uid
		return logontest.Fixture{
			Authority: agent.Server(a), Logon: l, Own: own,
			Code: func(steps int) string {
				c, err := otp.Code(w.keys["ana"], otp.Step(w.now(), 30)+uint64(steps), otp.SHA1, 6)
				w.ok(err)
				return otp.Format(c, 6)
			},
			Advance: func(d time.Duration) { w.offset.Add(int64(d)) },
		}
	})
}

func ptr[T any](v T) *T { return &v }
