package logon_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"latchkey"
	"latchkey/internal/logon"
	"latchkey/internal/secret"
)

// A script is an authority that plays given turns; the loop is what is tested.
type script struct {
	begin   logon.Turn
	beginE  error
	turns   []logon.Turn
	errs    []error
	answers []string
}

func (s *script) Begin(context.Context, latchkey.Logon) (logon.Turn, error) { return s.begin, s.beginE }

func (s *script) Answer(_ context.Context, _ latchkey.Logon, a latchkey.Answer) (logon.Turn, error) {
	i := len(s.answers)
	s.answers = append(s.answers, string(a.Value)+"/"+string(a.State))
	if i >= len(s.turns) {
		return logon.Turn{}, errors.New("no more turns")
	}
	return s.turns[i], s.errs[i]
}

func (s *script) then(t logon.Turn, err error) *script {
	s.turns, s.errs = append(s.turns, t), append(s.errs, err)
	return s
}

// keys is a person who types the given lines and then goes away.
type keys []string

func (k *keys) Ask(context.Context, latchkey.Prompt) (latchkey.Answer, error) {
	if len(*k) == 0 {
		return latchkey.Answer{}, logon.ErrCancelled
	}
	line := (*k)[0]
	*k = (*k)[1:]
	return latchkey.Answer{Value: secret.Bytes(line)}, nil
}

func code(state string) logon.Turn {
	return logon.Prompt(latchkey.Prompt{ID: 1, Kind: latchkey.AskSecret, Factor: latchkey.TOTP, State: []byte(state)})
}

func choice() logon.Turn {
	return logon.Prompt(latchkey.Prompt{ID: 1, Kind: latchkey.AskChoice, Choices: []latchkey.Choice{{ID: "hotp"}, {ID: "totp"}}})
}

var (
	online  = logon.End(latchkey.Verdict{Outcome: latchkey.Allowed, Reason: latchkey.VerifiedOnline})
	offline = logon.End(latchkey.Verdict{Outcome: latchkey.Allowed, Reason: latchkey.VerifiedOffline})
	gone    = logon.ErrUnreachable
)

func TestRun(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		first, second *script
		typed         keys
		want          latchkey.Reason
		enters        bool
		second_       []string // what the second authority was told
	}{
		"online":                                {first: (&script{begin: code("a")}).then(online, nil), typed: keys{"1"}, want: latchkey.VerifiedOnline, enters: true},
		"server gone at the beginning":          {first: &script{beginE: gone}, second: (&script{begin: code("b")}).then(offline, nil), typed: keys{"1"}, want: latchkey.VerifiedOffline, enters: true, second_: []string{"1/b"}},
		"reply lost: same answer, no prompt":    {first: (&script{begin: code("a")}).then(logon.Turn{}, gone), second: (&script{begin: code("b")}).then(offline, nil), typed: keys{"1"}, want: latchkey.VerifiedOffline, enters: true, second_: []string{"1/b"}},
		"reply lost: the choice is carried":     {first: (&script{begin: code("a")}).then(logon.Turn{}, gone), second: (&script{begin: choice()}).then(code("b"), nil).then(offline, nil), typed: keys{"1"}, want: latchkey.VerifiedOffline, enters: true, second_: []string{"totp/", "1/b"}},
		"reply lost: carried only once":         {first: (&script{begin: code("a")}).then(logon.Turn{}, gone), second: (&script{begin: code("b")}).then(code("c"), nil).then(offline, nil), typed: keys{"1", "2"}, want: latchkey.VerifiedOffline, enters: true, second_: []string{"1/b", "2/c"}},
		"asleep: nobody else gets that answer":  {first: (&script{begin: code("a")}).then(logon.Turn{}, errors.Join(gone, logon.ErrSlept)), second: (&script{begin: code("b")}).then(offline, nil), typed: keys{"1", "2"}, want: latchkey.VerifiedOffline, enters: true, second_: []string{"2/b"}},
		"nobody can be asked":                   {first: &script{beginE: gone}, second: &script{beginE: gone}, want: latchkey.ServerUnreachable},
		"screen closed":                         {first: &script{begin: code("a")}, want: latchkey.Cancelled},
		"authority fails":                       {first: &script{beginE: errors.New("disk")}, second: (&script{begin: code("b")}).then(offline, nil), typed: keys{"1"}, want: latchkey.InternalError},
		"neither prompt nor verdict":            {first: &script{}, want: latchkey.InternalError},
		"zero verdict":                          {first: &script{begin: logon.End(latchkey.Verdict{})}, want: latchkey.InternalError},
		"more than three answers":               {first: (&script{begin: code("a")}).then(code("a"), nil).then(code("a"), nil).then(code("a"), nil).then(online, nil), typed: keys{"1", "2", "3", "4"}, want: latchkey.Cancelled},
		"an error after the answer is no entry": {first: (&script{begin: code("a")}).then(online, errors.New("signature")), typed: keys{"1"}, want: latchkey.InternalError},
	} {
		authorities := []logon.Authority{tc.first}
		if tc.second != nil {
			authorities = append(authorities, tc.second)
		}
		v, _ := logon.Run(t.Context(), &tc.typed, latchkey.Logon{ID: "x"}, authorities...)
		if v.Reason != tc.want || v.Outcome.Enters() != tc.enters {
			t.Errorf("%s: %s %s, want %s", name, v.Outcome, v.Reason, tc.want)
		}
		if tc.second_ != nil && !equal(tc.second.answers, tc.second_) {
			t.Errorf("%s: the second authority was told %q, want %q", name, tc.second.answers, tc.second_)
		}
	}
}

func equal(a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func TestPromptsSayWhatIsLeft(t *testing.T) {
	t.Parallel()
	until := time.Date(2026, 11, 28, 9, 0, 0, 0, time.UTC)
	one, token := []latchkey.Kind{latchkey.TOTP}, []latchkey.Kind{latchkey.HOTP}
	two, four, three := 2, 4, &latchkey.Left{Counted: true, Logins: 3}
	for want, q := range map[string]logon.Question{
		"One-time code":                                                       {Kinds: one},
		"One-time code (2 offline logins left)":                               {Kinds: one, Offline: true, Left: &latchkey.Left{Counted: true, Logins: 2}},
		"One-time code (1 offline login left, until 28 Nov)":                  {Kinds: one, Offline: true, Left: &latchkey.Left{Counted: true, Logins: 1, Until: until}},
		"One-time code (offline, until 28 Nov)":                               {Kinds: one, Offline: true, Left: &latchkey.Left{Until: until}},
		"One-time code (2 offline logins left with this token)":               {Kinds: token, Offline: true, Left: three, TokenCodes: &two},
		"One-time code (3 offline logins left)":                               {Kinds: token, Offline: true, Left: three, TokenCodes: &four},
		"One-time code (4 offline logins left with this token, until 28 Nov)": {Kinds: token, Offline: true, Left: &latchkey.Left{Until: until}, TokenCodes: &four},
		"One-time code (offline, until 29 Nov)":                               {Kinds: one, Offline: true, Left: &latchkey.Left{Counted: true, Until: until.AddDate(0, 0, 1)}},
		"One-time code of your authenticator app. Do not press your hardware token, its codes are used up here (3 offline logins left)": {
			Kinds: one, Offline: true, Left: three, TokenUsedUp: true,
		},
		"One-time code (4 offline logins left)": {Kinds: one, Offline: true, Left: &latchkey.Left{Counted: true, Logins: 4}, TokenCodes: &two},
		"Choose how to confirm that it is you":  {Kinds: []latchkey.Kind{latchkey.TOTP, latchkey.HOTP}},
	} {
		if p, _ := q.Next(logon.Progress{}); p.Label != want {
			t.Errorf("label %q, want %q", p.Label, want)
		}
	}
}

func TestTwoFactorsAreTwoDifferentKinds(t *testing.T) {
	t.Parallel()
	q := logon.Question{Required: 2, Kinds: []latchkey.Kind{latchkey.TOTP, latchkey.HOTP}}
	_, p := q.Next(logon.Progress{})
	p, ok := q.Choose(p, "2")
	if !ok || p.Chosen != latchkey.HOTP {
		t.Fatalf("choice 2 is %q", p.Chosen)
	}
	p = p.Prove()
	if q.Finished(p) {
		t.Fatal("one of two is enough")
	}
	prompt, p := q.Next(p)
	if prompt.Factor != latchkey.TOTP {
		t.Fatalf("after the token, %q is asked", prompt.Factor)
	}
	if _, ok := q.Word(p, "hotp"); ok {
		t.Error("a proven kind can be chosen again")
	}
	if p = p.Prove(); !q.Finished(p) {
		t.Error("two of two are not enough")
	}
}

func TestEveryRefusalHasASentence(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for _, r := range latchkey.Refusals {
		s := logon.Sentence(latchkey.Verdict{Outcome: latchkey.Denied, Reason: r, Retry: now.Add(90 * time.Second)}, now)
		if len(s) < 9 {
			t.Errorf("%s: %q", r, s)
		}
		for _, missing := range []string{"emergency", "portal"} { // until they are built
			if strings.Contains(s, missing) {
				t.Errorf("%s sends people to what does not exist: %q", r, s)
			}
		}
	}
	if s := logon.Sentence(latchkey.Verdict{Outcome: latchkey.Allowed, Reason: latchkey.VerifiedOnline}, now); s != "" {
		t.Errorf("somebody who is let in as always is told %q", s)
	}
	want := "Too many wrong codes. Try again in 90 seconds."
	if s := logon.Sentence(latchkey.Verdict{Reason: latchkey.Throttled, Retry: now.Add(90 * time.Second)}, now); s != want {
		t.Errorf("%q", s)
	}
}
