package pam

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"latchkey"
	"latchkey/internal/agent/ipc"
	"latchkey/internal/logon"
)

// A desk decides in place of the agent; everything below it is the real thing.
type desk struct{}

func (desk) Logon(ctx context.Context, s logon.Screen, _ latchkey.Logon) latchkey.Verdict {
	a, err := s.Ask(ctx, latchkey.Prompt{ID: 7, Kind: latchkey.AskSecret, Label: "One-time code", Factor: latchkey.TOTP})
	switch {
	case errors.Is(err, logon.ErrCancelled):
		return latchkey.DenyVerdict(latchkey.Cancelled)
	case err != nil:
		return latchkey.DenyVerdict(latchkey.InternalError)
	case string(a.Value) == "424242":
		return latchkey.Verdict{Outcome: latchkey.Allowed, Reason: latchkey.VerifiedOnline, Event: "e1"}
	}
	return latchkey.DenyVerdict(latchkey.WrongCode)
}

func (desk) Account(_ context.Context, _ latchkey.Logon, proof string) latchkey.Verdict {
	if proof == "e1" {
		return latchkey.Verdict{Outcome: latchkey.Allowed, Reason: latchkey.VerifiedOnline}
	}
	return latchkey.DenyVerdict(latchkey.ConditionFailed)
}

func (desk) Refused(latchkey.Logon) {}

func TestTheModuleAndTheAgentsOwnSocketServerAgree(t *testing.T) {
	t.Parallel()
	b := artifacts(t)
	for name, tc := range map[string]struct {
		ops    []string
		screen string
	}{
		"right code":                 {[]string{"answer=424242", "authenticate", "account"}, "OFF|One-time code: \n= authenticate " + success + "\n= account " + success},
		"wrong code":                 {[]string{"silent", "answer=1", "authenticate"}, "OFF|One-time code: \n= authenticate " + authErr},
		"no answer":                  {[]string{"silent", "answer=@error", "authenticate"}, "OFF|One-time code: \n= authenticate " + authErr},
		"only a key":                 {[]string{"silent", "account"}, "= account " + authErr},
		"M03 a name that nobody has": {[]string{"silent", "user=%n\x1b", "answer=424242", "authenticate"}, "= authenticate " + authErr},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			base, err := os.MkdirTemp("", "lk")
			check(t, err)
			t.Cleanup(func() { os.RemoveAll(base) })
			socket := filepath.Join(base, "run", "login.sock")
			l, err := ipc.Listen(socket, ipc.LoginMode)
			check(t, err)
			ctx, stop := context.WithCancel(context.Background())
			over := make(chan error, 1)
			s := &ipc.Server{Handler: desk{}, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Now: time.Now}
			go func() { over <- s.Serve(ctx, l) }()
			t.Cleanup(func() {
				stop()
				if err := <-over; err != nil && !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
			})
			dir := stack(t, "sshd", b.checked, socket, "auth required MODULE socket=SOCKET", "account required MODULE socket=SOCKET")
			screen, log := split(driver(t, b.asanDrv, append([]string{dir, "sshd", "nobody"}, tc.ops...)...))
			if screen != tc.screen {
				t.Errorf("screen\n%s\nwant\n%s\nlog\n%s", screen, tc.screen, log)
			}
		})
	}
}
