package vault_test

import (
	"strings"
	"testing"

	"latchkey"
	"latchkey/internal/bundle"
)

func TestOfflineTooATokenThatIsAheadNeedsTwoCodes(t *testing.T) {
	t.Parallel()
	w, _ := offline(t, withToken(t))
	expect(t, w.login(latchkey.Console, w.hotp(11), w.hotp(13)), wrongCode)
	expect(t, w.login(latchkey.Console, w.hotp(11), w.hotp(11)), replayed)
	expect(t, w.login(latchkey.Console, w.hotp(11), w.hotp(12)), allowed)
	for _, n := range []uint64{11, 12} {
		expect(t, w.login(latchkey.Console, w.hotp(n)), replayed)
	}
	w.restart()
	expect(t, w.login(latchkey.Console, w.hotp(12)), replayed)
	expect(t, w.login(latchkey.Console, w.hotp(13)), allowed)
}

func TestTheLastCodeOfTheBookIsNoFirstOfTwo(t *testing.T) {
	t.Parallel()
	w, _ := offline(t, withToken(t))
	expect(t, w.login(latchkey.Console, w.hotp(29)), wrongCode) // 29 is the last that the machine holds
	expect(t, w.login(latchkey.Console, w.hotp(30)), wrongCode)
	expect(t, w.login(latchkey.Console, w.hotp(28), w.hotp(29)), allowed)
}

// E15: whoever has no codes left must not press on: every press leads the token
// further away from the server.
func TestE15ATokenWithoutCodesSaysStop(t *testing.T) {
	t.Parallel()
	w, _ := offline(t, func(u *user) {
		s := hotpSource(t)
		s.Quota = 2
		u.sources = []bundle.Source{s}
		u.policy.Unreachable = latchkey.Skip // no waiver for it
	})
	prompt := func() string { return w.begin(w.logon(latchkey.Console)).Prompt.Label }
	if got := prompt(); !strings.HasPrefix(got, "One-time code (2 offline logins left with this token, until ") {
		t.Errorf("asked %q", got)
	}
	expect(t, w.login(latchkey.Console, w.hotp(0)), allowed)
	if got := prompt(); !strings.HasPrefix(got, "One-time code (1 offline login left with this token, until ") {
		t.Errorf("asked %q", got)
	}
	l := w.logon(latchkey.Console)
	last := w.answer(l, w.begin(l).Prompt, w.hotp(1))
	expect(t, said(last), allowed)
	if !strings.Contains(last.Verdict.Text, "do not press it again") {
		t.Errorf("after the last code: %q", last.Verdict.Text)
	}
	for range 2 {
		end := w.begin(w.logon(latchkey.Console))
		expect(t, said(end), "deny offline_limit_reached")
		if !strings.Contains(end.Verdict.Text, "no more codes of your hardware token. Do not press it again") {
			t.Errorf("said %q", end.Verdict.Text)
		}
		w.restart()
	}
}

func TestATokenWithoutCodesLeavesTheApp(t *testing.T) {
	t.Parallel()
	w, _ := offline(t, func(u *user) {
		s := hotpSource(t)
		s.Quota = 1
		u.sources = append(u.sources, s)
	})
	expect(t, w.login(latchkey.Console, "hotp", w.hotp(0)), allowed)
	expect(t, w.login(latchkey.Console, w.totp(w.wall)), allowed)
}
