package vault_test

import (
	"fmt"
	"testing"
	"time"

	"latchkey"
	"latchkey/internal/bundle"
)

// ready is what the machine says of its one user.
func (w *world) ready() string {
	w.t.Helper()
	u := w.v.Status().Users[0]
	left := "no login"
	if u.Left != nil {
		left = fmt.Sprint(u.Left.Logins)
	}
	if u.Ready != (u.Why == "") {
		w.t.Errorf("ready is %v, because %q", u.Ready, u.Why)
	}
	codes := ""
	for _, t := range u.Tokens {
		codes += fmt.Sprintf(" codes %d", t.Left)
	}
	return fmt.Sprintf("%v %s %v%s", u.Ready, left, u.Authenticators, codes)
}

func TestE10WhatIsLeftOfATokenBoundsTheLogins(t *testing.T) {
	t.Parallel()
	two := func(s bundle.Source) bundle.Source { s.Quota = 2; return s }
	for name, tc := range map[string]struct {
		sources  []bundle.Source
		required int
		choose   []string
		want     [3]string // at first, after a login, after two
	}{
		"a token alone": {
			[]bundle.Source{two(hotpSource(t))}, 1, nil,
			[3]string{"true 2 [hotp] codes 2", "true 1 [hotp] codes 1", "false 0 [] codes 0"},
		},
		"beside an app": {
			[]bundle.Source{totpSource(t), two(hotpSource(t))}, 1, []string{"hotp"},
			[3]string{"true 150 [totp hotp] codes 2", "true 149 [totp hotp] codes 1", "true 148 [totp] codes 0"},
		},
		"both are asked for": {
			[]bundle.Source{totpSource(t), two(hotpSource(t))}, 2, []string{"", "hotp"},
			[3]string{"true 2 [totp hotp] codes 2", "true 1 [totp hotp] codes 1", "false 0 [totp] codes 0"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, _ := offline(t, func(u *user) {
				u.sources = tc.sources
				u.policy.Factors.Required, *u.policy.Offline.Logins = tc.required, 150
			})
			for n, want := range tc.want {
				expect(t, w.ready(), want)
				if n == 2 {
					break
				}
				answers := append([]string{}, tc.choose...)
				if len(answers) == 2 {
					answers = []string{w.totp(w.wall)}
				}
				expect(t, w.login(latchkey.Console, append(answers, w.hotp(uint64(n)))...), allowed)
				w.pass(30 * time.Second)
			}
		})
	}
}

func TestTheSuccessLineSaysWhatCanStillBeDone(t *testing.T) {
	t.Parallel()
	w, _ := offline(t, func(u *user) {
		withToken(t)(u)
		*u.policy.Offline.Logins = 150
	})
	l := w.logon(latchkey.Console)
	v := w.answer(l, w.begin(l).Prompt, w.hotp(0)).Verdict
	if v.Left == nil || v.Left.Logins != 29 || v.Text != "Verified offline. 29 offline logins left." {
		t.Errorf("left %+v, said %q", v.Left, v.Text)
	}
}

// A header that gives nothing, as in quarantine, tells of nothing: what was used
// before it stays used after it, also where the server does not know of it.
func TestAHeaderThatGivesNothingForgetsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.person()
	u.sources = []bundle.Source{hotpSource(t)}
	w.store(u)
	for n := range uint64(2) {
		if got := w.login(latchkey.Console, w.hotp(n)); got != "allow verified_offline" {
			t.Fatalf("%d: %s", n, got)
		}
	}
	w.pass(time.Minute)
	kept, anchor := u.sources, u.header.Anchor
	u.sources, u.header.Anchor = nil, 0
	w.store(u)
	req, err := w.v.Pending(10)
	must(t, err)
	if len(req.Users) != 1 || len(req.Users[0].Floors) != 1 || req.Users[0].Floors[0].Next != 2 {
		t.Errorf("the server is told of %+v", req.Users)
	}
	u.sources, u.header.Anchor = kept, anchor
	w.store(u)
	if got := w.login(latchkey.Console, w.hotp(1)); got != "deny code_already_used" {
		t.Errorf("a code that was used before: %s", got)
	}
	if got := w.login(latchkey.Console, w.hotp(2)); got != "allow verified_offline" {
		t.Errorf("the next one: %s", got)
	}
}
