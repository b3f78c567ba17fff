package vault_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"latchkey"
	"latchkey/internal/api"
	"latchkey/internal/bundle"
	"latchkey/internal/logon/logontest"
	"latchkey/internal/otp"
	"latchkey/internal/secret"
	"latchkey/internal/vault"
)

const (
	allowed   = "allow verified_offline"
	wrongCode = "deny wrong_code"
	replayed  = "deny code_already_used"
)

// offline is a world in which ana may log in with her app.
func offline(t testing.TB, change func(*user)) (*world, *user) {
	t.Helper()
	w := newWorld(t)
	w.contact(w.wall)
	u := w.person()
	change(u)
	w.store(u)
	return w, u
}

func asIs(*user) {}

// withToken gives ana a hardware token instead of the app.
func withToken(t testing.TB) func(*user) {
	return func(u *user) { u.sources = []bundle.Source{hotpSource(t)} }
}

func TestB01ACodeWorksOnce(t *testing.T) {
	t.Parallel()
	w, _ := offline(t, asIs)
	code := w.totp(w.wall)
	expect(t, w.login(latchkey.Console, code), allowed)
	expect(t, w.login(latchkey.Console, code), replayed)
	expect(t, w.login(latchkey.Console, code[:3]+" "+code[3:]), replayed)
}

func TestB02ACodeOfTheStepBeforeIsUsedUpWithIt(t *testing.T) {
	t.Parallel()
	w, _ := offline(t, asIs)
	expect(t, w.login(latchkey.Console, w.totp(w.wall)), allowed)
	expect(t, w.login(latchkey.Console, w.totp(w.wall.Add(-30*time.Second))), replayed)
}

func TestB03AndB04ACodeWorksOnceAcrossRestartAndReboot(t *testing.T) {
	t.Parallel()
	for name, again := range map[string]func(*world){
		"B03 the agent restarts": func(w *world) { w.restart() },
		"B04 the machine reboots": func(w *world) {
			w.reboot(time.Second)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, _ := offline(t, asIs)
			code := w.totp(w.wall)
			expect(t, w.login(latchkey.Console, code), allowed)
			again(w)
			expect(t, w.login(latchkey.Console, code), replayed)
		})
	}
}

func TestB10CountersBelowAnAcceptedOneAreUsed(t *testing.T) {
	t.Parallel()
	w, _ := offline(t, withToken(t))
	expect(t, w.login(latchkey.Console, w.hotp(7)), allowed)
	for _, n := range []uint64{5, 6, 7} {
		expect(t, w.login(latchkey.Console, w.hotp(n)), replayed)
	}
	expect(t, w.login(latchkey.Console, w.hotp(8)), allowed)
}

func TestA01TheCodebookHoldsTheCodesOfRFC4226(t *testing.T) {
	t.Parallel()
	w, _ := offline(t, func(u *user) {
		withToken(t)(u)
		u.policy.Offline.Logins = nil
	})
	for _, code := range strings.Fields("755224 287082 359152 969429 338314 254676 287922 162583 399871 520489") {
		expect(t, w.login(latchkey.Console, code), allowed)
	}
}

func TestA02TheCodebookHoldsTheCodesOfRFC6238(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		at   int64
		code string
	}{{59, "94287082"}, {1111111109, "07081804"}, {1111111111, "14050471"}, {1234567890, "89005924"}, {2000000000, "69279037"}, {20000000000, "65353130"}} {
		t.Run(tc.code, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.wall = time.Unix(tc.at, 0)
			w.contact(w.wall)
			u := w.person()
			g, err := otp.NewGenerator(key20, otp.SHA1, 8)
			must(t, err)
			u.sources[0].Codes, u.sources[0].Digits = g, 8
			w.store(u)
			expect(t, w.login(latchkey.Console, tc.code), allowed)
		})
	}
}

func TestFiftyParallelLoginsWithOneCodeGiveOneSuccess(t *testing.T) {
	t.Parallel()
	w, _ := offline(t, asIs)
	code := w.totp(w.wall)
	var in, used atomic.Int32
	var wg sync.WaitGroup
	for range 50 {
		l := w.logon(latchkey.Console)
		p := w.begin(l).Prompt
		wg.Go(func() {
			turn, err := w.v.Answer(context.Background(), l, latchkey.Answer{Prompt: p.ID, Value: secret.Bytes(code), State: p.State})
			switch {
			case err != nil:
				t.Error(err)
			case said(turn) == allowed:
				in.Add(1)
			case said(turn) == replayed:
				used.Add(1)
			}
		})
	}
	wg.Wait()
	if in.Load() != 1 || used.Load() != 49 {
		t.Errorf("%d let in, %d told that the code is used", in.Load(), used.Load())
	}
}

func TestTheSameAnswerTwiceIsOneAnswer(t *testing.T) {
	t.Parallel()
	w, _ := offline(t, asIs)
	l := w.logon(latchkey.Console)
	p := w.begin(l).Prompt
	code := w.totp(w.wall)
	first := w.answer(l, p, code)
	again := w.answer(l, p, code)
	expect(t, said(first), allowed)
	expect(t, said(again), allowed)
	if first.Verdict.Event != again.Verdict.Event {
		t.Error("the repeated answer is another event")
	}
	expect(t, w.status(), "Ana 2 until 2026-11-27 09:00:00")
	if _, err := w.v.Answer(context.Background(), l, latchkey.Answer{Prompt: p.ID, Value: secret.Bytes("123456"), State: p.State}); err == nil {
		t.Error("a logon that is over took another answer")
	}
}

func TestAnAnswerBelongsToItsPrompt(t *testing.T) {
	t.Parallel()
	w, _ := offline(t, asIs)
	l, other := w.logon(latchkey.Console), w.logon(latchkey.Console)
	p := w.begin(l).Prompt
	bent := append([]byte(nil), p.State...)
	bent[len(bent)-2] ^= 1
	for name, tc := range map[string]struct {
		l latchkey.Logon
		a latchkey.Answer
	}{
		"another logon's":  {other, latchkey.Answer{Prompt: p.ID, State: p.State}},
		"no state":         {l, latchkey.Answer{Prompt: p.ID}},
		"altered state":    {l, latchkey.Answer{Prompt: p.ID, State: bent}},
		"another number":   {l, latchkey.Answer{Prompt: p.ID + 1, State: p.State}},
		"another scenario": {latchkey.Logon{ID: l.ID, User: l.User, Scenario: latchkey.Unlock}, latchkey.Answer{Prompt: p.ID, State: p.State}},
	} {
		t.Run(name, func(t *testing.T) {
			tc.a.Value = secret.Bytes(w.totp(w.wall))
			if turn, err := w.v.Answer(context.Background(), tc.l, tc.a); err == nil {
				t.Errorf("answered with %s", said(turn))
			}
		})
	}
}

func TestC01AndC02AndC14TheAllowanceEnds(t *testing.T) {
	t.Parallel()
	w, _ := offline(t, asIs)
	for left := 3; left > 0; left-- {
		prompt := w.login(latchkey.Console)
		words := map[int]string{3: "3 offline logins left", 2: "2 offline logins left", 1: "1 offline login left"}
		if !strings.Contains(prompt, words[left]+", until 27 Nov") {
			t.Errorf("prompt %q does not say what is left", prompt)
		}
		expect(t, w.login(latchkey.Console, w.totp(w.wall)), allowed)
		w.pass(time.Minute)
	}
	expect(t, w.login(latchkey.Console), "deny offline_limit_reached")
	expect(t, w.login(latchkey.Unlock, w.totp(w.wall)), allowed) // unlock does not spend
	w.online()
	w.pass(time.Minute)
	expect(t, w.login(latchkey.Console, w.totp(w.wall)), allowed) // C03
}

func TestC02TheLastDay(t *testing.T) {
	t.Parallel()
	w, _ := offline(t, asIs)
	w.pass(7*24*time.Hour - time.Minute)
	expect(t, w.login(latchkey.Unlock, w.totp(w.wall)), allowed)
	w.pass(2 * time.Minute)
	expect(t, w.login(latchkey.Unlock), "deny offline_limit_reached")
}

func TestCountAllDrawsOnWrongCodesToo(t *testing.T) {
	t.Parallel()
	w, _ := offline(t, func(u *user) { u.policy.Offline.Count = latchkey.CountAll })
	expect(t, w.login(latchkey.Console, w.wrong()), wrongCode)
	expect(t, w.status(), "Ana 2 until 2026-11-27 09:00:00")
	expect(t, w.login(latchkey.Unlock, w.wrong()), wrongCode)
	expect(t, w.status(), "Ana 2 until 2026-11-27 09:00:00")
}

func TestC05WrongCodesSlowDown(t *testing.T) {
	t.Parallel()
	w, _ := offline(t, asIs)
	for range 5 {
		expect(t, w.login(latchkey.Console, w.wrong()), wrongCode)
	}
	l := w.logon(latchkey.Console)
	turn := w.answer(l, w.begin(l).Prompt, w.totp(w.wall))
	expect(t, said(turn), "deny throttled")
	if got := turn.Verdict.Retry.Sub(w.wall); got != 30*time.Second {
		t.Errorf("wait %v", got)
	}
	w.pass(31 * time.Second)
	w.restart()
	expect(t, w.login(latchkey.Console, w.totp(w.wall)), allowed)
}

// lockOut gives wrong answers until the lock.
func (w *world) lockOut() {
	w.t.Helper()
	for range 10 {
		expect(w.t, w.login(latchkey.Console, w.wrong()), wrongCode)
		w.pass(time.Hour)
	}
}

func TestC07TenWrongCodesLockUntilOnline(t *testing.T) {
	t.Parallel()
	w, _ := offline(t, asIs)
	w.lockOut()
	expect(t, w.login(latchkey.Console), "locked locked")
	w.reboot(time.Hour)
	expect(t, w.login(latchkey.Unlock), "locked locked")
	w.online()
	expect(t, w.login(latchkey.Console, w.totp(w.wall)), allowed)
}

func TestC10AProgramOfTheUsersOwnLocksOnlyItself(t *testing.T) {
	t.Parallel()
	w, _ := offline(t, func(u *user) {
		u.header.UID = uid(1000)
		u.policy.Offline.SpendOn = append(u.policy.Offline.SpendOn, latchkey.Unlock)
	})
	own := func() latchkey.Logon {
		l := w.logon(latchkey.Unlock)
		l.UID, l.Caller = uid(1000), 1000
		return l
	}
	expect(t, w.run(own(), w.totp(w.wall)), allowed)
	expect(t, w.status(), "Ana 3 until 2026-11-27 09:00:00")
	for range 10 {
		w.pass(time.Hour)
		expect(t, w.run(own(), w.wrong()), wrongCode)
	}
	expect(t, w.run(own()), "locked locked")
	w.pass(time.Hour)
	expect(t, w.login(latchkey.Unlock, w.totp(w.wall)), allowed)
}

func TestM10OnlyRootSpeaksForOthers(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change func(*latchkey.Logon)
		want   string
	}{
		"for another uid":       {func(l *latchkey.Logon) { l.UID = uid(1000) }, "deny unknown_identity"},
		"without a uid":         {func(l *latchkey.Logon) { l.UID = nil }, "deny unknown_identity"},
		"under another's name":  {func(l *latchkey.Logon) {}, "deny unknown_identity"},
		"for himself elsewhere": {func(l *latchkey.Logon) { l.UID, l.Caller, l.Scenario = uid(1000), 1000, latchkey.Console }, "deny condition_failed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, _ := offline(t, func(u *user) { u.header.UID = uid(1000) })
			l := w.logon(latchkey.Unlock)
			l.UID, l.Caller = uid(1001), 1001
			tc.change(&l)
			before := w.v.Status().Pending
			expect(t, w.run(l), tc.want)
			if w.v.Status().Pending != before {
				t.Error("a stranger has written an event")
			}
		})
	}
}

func TestAProgramOfTheUsersOwnNeedsATiedUid(t *testing.T) {
	t.Parallel()
	w, _ := offline(t, asIs)
	l := w.logon(latchkey.Unlock)
	l.UID, l.Caller = uid(1001), 1001
	expect(t, w.run(l), "deny unknown_identity")
	w.newSettings(func(s *api.Settings) { s.Settings.UnknownUsers = latchkey.Skip })
	l.User, l.UID = "somebody", uid(0)
	expect(t, w.run(l), "deny unknown_identity")
	l.UID = uid(1001)
	expect(t, w.run(l), "not-required not_covered")
}

func uid(n uint32) *uint32 { return &n }

func TestAnotherUidUnderAPinnedNameIsNobody(t *testing.T) {
	t.Parallel()
	w, _ := offline(t, func(u *user) { u.header.UID = uid(1000) })
	l := w.logon(latchkey.Console)
	l.UID = uid(1001)
	expect(t, w.run(l), "deny unknown_identity")
	l = w.logon(latchkey.Console)
	l.UID, l.User = uid(1000), "renamed"
	expect(t, w.run(l, w.totp(w.wall)), allowed)
}

func TestP01NamesFoldAndP11LocalAccountsAreApart(t *testing.T) {
	t.Parallel()
	w, u := offline(t, asIs)
	l := w.logon(latchkey.Console)
	l.User = "ANA"
	expect(t, w.run(l, w.totp(w.wall)), allowed)
	u.header.Directory = "corp.example"
	w.store(u)
	expect(t, w.login(latchkey.Console), "deny unknown_identity")
	l.User = `CORP.example\ana`
	l.ID = "x1"
	w.pass(time.Minute)
	expect(t, w.run(l, w.totp(w.wall)), allowed)
}

func TestAMachineThatDoesNotMatchLocalAccounts(t *testing.T) {
	t.Parallel()
	w, _ := offline(t, asIs)
	w.contact(w.wall)
	w.merge(func(r *api.SyncResponse) {
		r.Settings = w.settings(func(s *api.Settings) { s.Settings.MatchLocal = false })
	})
	l := w.logon(latchkey.Console)
	l.Local = true
	expect(t, w.run(l), "deny unknown_identity")
	expect(t, w.login(latchkey.Console, w.totp(w.wall)), allowed)
}

func TestTwoFactorsAreAskedOneAfterTheOther(t *testing.T) {
	t.Parallel()
	w, _ := offline(t, func(u *user) {
		u.policy.Factors.Required = 2
		u.sources = []bundle.Source{totpSource(t), hotpSource(t)}
	})
	code := w.totp(w.wall)
	if got := w.login(latchkey.Console, code); !strings.HasPrefix(got, "ask secret") {
		t.Errorf("after the first factor %q", got)
	}
	expect(t, w.login(latchkey.Console, code), replayed) // consumed by the half-finished one
	w.pass(time.Minute)
	expect(t, w.login(latchkey.Console, w.totp(w.wall), w.hotp(0)), allowed)
	expect(t, w.status(), "Ana 2 until 2026-11-27 09:00:00")
	w.pass(time.Minute)
	expect(t, w.login(latchkey.Console, w.totp(w.wall), w.wrong()), wrongCode)
}

func TestAWordInsteadOfACodeChoosesAnotherKind(t *testing.T) {
	t.Parallel()
	w, _ := offline(t, func(u *user) { u.sources = []bundle.Source{totpSource(t), hotpSource(t)} })
	expect(t, w.login(latchkey.Console, "totp", "hotp", w.hotp(0)), allowed)
	if got := w.login(latchkey.Console, "totp", "?"); !strings.HasPrefix(got, "ask choice") {
		t.Errorf("after ? %q", got)
	}
	if got := w.login(latchkey.Console, "9"); !strings.HasPrefix(got, "ask choice") {
		t.Errorf("after a number that is no choice %q", got)
	}
}

func TestC11WrongCodesOfAllKindsLockTogether(t *testing.T) {
	t.Parallel()
	w, _ := offline(t, func(u *user) { u.sources = []bundle.Source{totpSource(t), hotpSource(t)} })
	for range 5 {
		expect(t, w.login(latchkey.Console, "totp", w.wrong()), wrongCode)
		w.pass(time.Hour)
	}
	expect(t, w.login(latchkey.Console, "hotp", w.hotp(0)), allowed)
	for range 5 {
		expect(t, w.login(latchkey.Console, "hotp", w.wrong()), wrongCode)
		w.pass(time.Hour)
	}
	expect(t, w.login(latchkey.Console), "locked locked")
}

func TestReserveSpendsACodeForItsLogonOnly(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(*world){
		"at once":         func(*world) {},
		"after a restart": func(w *world) { w.restart() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, _ := offline(t, asIs)
			l := w.logon(latchkey.Console)
			code := w.totp(w.wall)
			must(t, w.v.Reserve(l, latchkey.Answer{Value: secret.Bytes(code)}))
			must(t, w.v.Reserve(l, latchkey.Answer{Value: secret.Bytes(code)}))
			open(w)
			expect(t, w.login(latchkey.Console, code), replayed)
			expect(t, w.run(l, code), allowed)
			w.restart()
			expect(t, w.run(l, code), replayed)
		})
	}
}

func TestReserveOfSomethingElseChangesNothing(t *testing.T) {
	t.Parallel()
	w, _ := offline(t, asIs)
	before := w.v.Status().Generation
	must(t, w.v.Reserve(w.logon(latchkey.Console), latchkey.Answer{Value: secret.Bytes(w.wrong())}))
	if got := w.v.Status().Generation; got != before {
		t.Errorf("generation %d after %d", got, before)
	}
	l := w.logon(latchkey.Console)
	must(t, w.v.Reserve(l, latchkey.Answer{Value: secret.Bytes(w.totp(w.wall))}))
	expect(t, w.run(l, w.wrong()), wrongCode) // a wrong one under the same id does not free the code
	expect(t, w.login(latchkey.Console, w.totp(w.wall)), replayed)
}

func TestTheVaultIsAnAuthorityLikeAnyOther(t *testing.T) {
	t.Parallel()
	logontest.Run(t, func(t *testing.T) logontest.Fixture {
		w, _ := offline(t, func(u *user) {
			u.policy.Offline.Logins = nil
			u.header.UID = uid(1000)
		})
		return logontest.Fixture{
			Authority: w.v,
			Logon:     latchkey.Logon{Scenario: latchkey.Console, Service: "login", User: "ana", UID: uid(1000)},
			Own:       latchkey.Logon{Scenario: latchkey.Unlock, Service: "swaylock", User: "ana", UID: uid(1000), Caller: 1000, Local: true},
			Code:      func(n int) string { return w.totp(w.wall.Add(time.Duration(n) * 30 * time.Second)) },
			Advance:   w.pass,
		}
	})
}

func TestB07ACodeThatWasUsedHereIsNotSentToAServerThatHasNotHeardOfIt(t *testing.T) {
	t.Parallel()
	w, _ := offline(t, asIs)
	code := w.totp(w.wall)
	expect(t, w.login(latchkey.Console, code), allowed)
	if err := w.v.Reserve(w.logon(latchkey.Console), latchkey.Answer{Value: secret.Bytes(code)}); !errors.Is(err, vault.ErrSpent) {
		t.Errorf("a code that was used: %v", err)
	}
	must(t, w.v.Reserve(w.logon(latchkey.Console), latchkey.Answer{Value: secret.Bytes(w.wrong())}))
	w.pass(30 * time.Second)
	code = w.totp(w.wall)
	must(t, w.v.Reserve(w.logon(latchkey.Console), latchkey.Answer{Value: secret.Bytes(code)}))
	// Sent and never answered: whether it was used the server knows.
	must(t, w.v.Reserve(w.logon(latchkey.Console), latchkey.Answer{Value: secret.Bytes(code)}))
}
