package vault_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"latchkey"
	"latchkey/internal/bundle"
	"latchkey/internal/secret"
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

// E15: 29 is the last code that the machine holds. The one that would have to
// follow it is not known here: whoever types it is told to stop, and pays nothing.
func TestE15TheLastCodeOfTheBookIsNoFirstOfTwo(t *testing.T) {
	t.Parallel()
	w, _ := offline(t, withToken(t))
	for range 12 { // twelve charges would lock
		l := w.logon(latchkey.Console)
		end := w.answer(l, w.begin(l).Prompt, w.hotp(29))
		expect(t, said(end), "deny offline_limit_reached")
		if !strings.Contains(end.Verdict.Text, "Do not press it again. Connect to the network") {
			t.Errorf("said %q", end.Verdict.Text)
		}
	}
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

func TestE15ATokenWithoutCodesLeavesTheApp(t *testing.T) {
	t.Parallel()
	w, _ := offline(t, func(u *user) {
		s := hotpSource(t)
		s.Quota = 1
		u.sources = append(u.sources, s)
	})
	expect(t, w.login(latchkey.Console, "hotp", w.hotp(0)), allowed)
	l := w.logon(latchkey.Console)
	prompt := w.begin(l).Prompt
	if !strings.Contains(prompt.Label, "code of your authenticator app. Do not press your hardware token") {
		t.Errorf("asked %q", prompt.Label)
	}
	end := w.answer(l, prompt, w.hotp(1))
	expect(t, said(end), wrongCode)
	if !strings.Contains(end.Verdict.Text, "do not press it") || strings.Contains(end.Verdict.Text, "next code") {
		t.Errorf("said %q", end.Verdict.Text)
	}
	expect(t, w.login(latchkey.Console, w.totp(w.wall)), allowed)
}

// E15: the next code of an app comes by itself; that of a token takes a press,
// and each press leads it further away.
func TestE15AWrongCodeSaysWhatToDoWithWhatHeHas(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		has  func(*user)
		want string
	}{
		"an app":  {asIs, "That code is not right. Wait for the next code and try again."},
		"a token": {withToken(t), "That code is not right. Try the code that your hardware token shows now. If it is refused too, press no more: connect to the network and sign in once."},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, _ := offline(t, tc.has)
			l := w.logon(latchkey.Console)
			expect(t, w.answer(l, w.begin(l).Prompt, w.wrong()).Verdict.Text, tc.want)
		})
	}
}

// What draws nothing from the allowance goes on when it is used up, and does not
// call itself the last login.
func TestAnUnlockWithNothingLeftSaysSo(t *testing.T) {
	t.Parallel()
	w, _ := offline(t, func(u *user) { *u.policy.Offline.Logins = 1 })
	l := w.logon(latchkey.Console)
	first := w.answer(l, w.begin(l).Prompt, w.totp(w.wall))
	expect(t, first.Verdict.Text, "Verified offline. That was the last offline login: connect to the network before the next one.")
	w.pass(time.Minute)
	l = w.logon(latchkey.Unlock)
	prompt := w.begin(l).Prompt
	expect(t, prompt.Label, "One-time code (offline, until 27 Nov)")
	unlocked := w.answer(l, prompt, w.totp(w.wall))
	expect(t, said(unlocked), allowed)
	expect(t, unlocked.Verdict.Text, "Verified offline. No offline login is left: connect to the network before the next one.")
}

// B10: a new book begins where the token stands on the server. The codes just
// before it go with it, so that their owner is told that they are used: charged
// as wrong, five of them would keep the right code out.
func TestB10AUsedTokenCodeIsToldAfterANewBook(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]func(w *world, u *user){
		"used online here": func(w *world, u *user) { w.store(u); w.online() },
		"used offline here": func(w *world, u *user) {
			w.store(u)
			expect(w.t, w.login(latchkey.Console, w.hotp(11), w.hotp(12)), allowed)
		},
		"used on another machine":                    func(w *world, u *user) { w.store(u) },
		"used before the first book of this machine": func(*world, *user) {},
		"used before the ledger was lost": func(w *world, u *user) {
			w.store(u)
			w.v.Close()
			must(w.t, os.Remove(w.path("ledger")))
			must(w.t, w.box.Close())
			w.reopen()
			w.contact(w.wall)
			w.pass(time.Minute)
			u.header.Anchor = w.wall.UnixMilli()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.contact(w.wall)
			u := w.person()
			withToken(t)(u)
			before(w, u)
			u.sources[0].Next = 13
			w.store(u)
			for n := uint64(3); n < 13; n++ { // ten charges would lock
				expect(t, w.login(latchkey.Console, w.hotp(n)), replayed)
			}
			w.restart()
			expect(t, w.login(latchkey.Console, w.hotp(12)), replayed)
			expect(t, w.login(latchkey.Console, w.hotp(2)), wrongCode)
			expect(t, w.login(latchkey.Console, w.hotp(13)), allowed)
		})
	}
}

// The codes of the past are no first of two either, and the machine does not set
// them aside for an answer that may not come.
func TestUsedTokenCodesOfABookOpenNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.contact(w.wall)
	u := w.person()
	withToken(t)(u)
	u.sources[0].Next = 13
	w.store(u)
	for n := uint64(0); n < 13; n++ {
		l := w.logon(latchkey.Console)
		must(t, w.v.Reserve(l, latchkey.Answer{Value: secret.Bytes(w.hotp(n))}))
		if got := w.run(l, w.hotp(n), w.hotp(n+1)); got == allowed {
			t.Errorf("code %d, used before the book, lets in", n)
		}
		if n < 3 {
			w.online() // pays for the wrong codes
			w.pass(time.Second)
		}
	}
}

// Nobody is sent to what does not exist yet, and only who has a token is told
// not to press it.
func TestE15TheLimitSaysWhatOpensItAndNothingElse(t *testing.T) {
	t.Parallel()
	const limit = "Offline logins are used up. Connect to the network and sign in once."
	for name, tc := range map[string]struct {
		has  func(*user)
		code func(*world) string
		want string
	}{
		"an app":  {asIs, func(w *world) string { return w.totp(w.wall) }, limit},
		"a token": {withToken(t), func(w *world) string { return w.hotp(0) }, limit + " Do not press your hardware token again before that."},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, _ := offline(t, func(u *user) {
				tc.has(u)
				*u.policy.Offline.Logins = 1
			})
			expect(t, w.login(latchkey.Console, tc.code(w)), allowed)
			end := w.begin(w.logon(latchkey.Console))
			expect(t, said(end), "deny offline_limit_reached")
			expect(t, end.Verdict.Text, tc.want)
		})
	}
}
