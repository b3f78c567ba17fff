// Package logontest holds the one suite that every logon.Authority passes: the
// server, the agent's client for it, and the offline vault. What is true of one
// is true of all, or a login would change its rules when the cable is pulled.
//
// It refuses to know which authority it tests.
package logontest

import (
	"context"
	"crypto/rand"
	"slices"
	"sync"
	"testing"
	"time"

	"latchkey"
	"latchkey/internal/logon"
	"latchkey/internal/secret"
)

// A Fixture is an authority with one user who has one TOTP authenticator (30 s,
// ±1 step) and may log in, and who has used no code yet.
type Fixture struct {
	Authority logon.Authority
	// Logon is a logon of that user; the suite names it anew each time.
	Logon latchkey.Logon
	// Own is a logon of that user through a program of his own, at his locked
	// screen, on a machine that knows his uid.
	Own latchkey.Logon
	// Code is the code of the step that lies offset steps from now.
	Code func(offset int) string
	// Advance moves the authority's clock.
	Advance func(time.Duration)
}

// Run runs the suite. The fixture is made anew for each case.
func Run(t *testing.T, make func(t *testing.T) Fixture) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.run(t, &suite{Fixture: make(t), t: t})
		})
	}
}

var cases = []struct {
	name string
	run  func(*testing.T, *suite)
}{
	{"a right code lets in", rightCode},
	{"B01 the same code does not let in twice", sameCode},
	{"B02 an older code does not let in after a newer one", olderCode},
	{"a wrong code does not let in", wrongCode},
	{"an empty answer does not let in and charges nothing", emptyAnswer},
	{"D01 codes two steps away do not let in", farCodes},
	{"the same answer again gets the same verdict and is charged once", idempotent},
	{"an answer's state is worth nothing in another logon", foreignState},
	{"a garbled state does not let in", garbledState},
	{"C05 five wrong codes slow the sixth down", throttle},
	{"C07 ten wrong codes lock", lock},
	{"beginning charges nothing", beginIsFree},
	{"a question mark asks again and charges nothing", help},
	{"an unknown user does not get in", unknownUser},
	{"C10 wrong codes in the user's own programs lock those programs alone", ownLock},
	{"C10 wrong codes in root's programs do not lock the user's own", rootLock},
	{"B01 a code that opened a locked screen opens nothing else", ownCode},
	{"an answer's state is worth nothing to another caller", foreignCaller},
	{"50 parallel logons with one code let in once", race},
}

type suite struct {
	Fixture
	t *testing.T
}

// named returns the fixture's logon under a new name.
func (s *suite) named() latchkey.Logon {
	id, err := logon.NewID(rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	l := s.Logon
	l.ID = id
	return l
}

// begin opens a logon and expects the question for a code.
func (s *suite) begin(l latchkey.Logon) latchkey.Prompt {
	s.t.Helper()
	turn, err := s.Authority.Begin(context.Background(), l)
	if err != nil || turn.Prompt == nil {
		s.t.Fatalf("begin: %+v, %v", verdictOf(turn), err)
	}
	if turn.Prompt.Kind != latchkey.AskSecret || turn.Prompt.Factor != latchkey.TOTP || turn.Prompt.Label == "" {
		s.t.Fatalf("begin asks %+v", turn.Prompt)
	}
	return *turn.Prompt
}

func (s *suite) answer(l latchkey.Logon, p latchkey.Prompt, value string) (logon.Turn, error) {
	return s.Authority.Answer(context.Background(), l, latchkey.Answer{Prompt: p.ID, Value: secret.Bytes(value), State: p.State})
}

// login gives one answer and returns the verdict; a logon that ends at its
// beginning ends with that verdict.
func (s *suite) login(value string) latchkey.Verdict {
	s.t.Helper()
	l := s.named()
	turn, err := s.Authority.Begin(context.Background(), l)
	if err == nil && turn.Prompt != nil {
		turn, err = s.answer(l, *turn.Prompt, value)
	}
	if err != nil || turn.Verdict == nil {
		s.t.Fatalf("login: no verdict: %v", err)
	}
	s.closed(*turn.Verdict)
	return *turn.Verdict
}

// closed holds a verdict to the closed lists.
func (s *suite) closed(v latchkey.Verdict) {
	s.t.Helper()
	list := latchkey.Refusals
	if v.Outcome.Enters() {
		list = latchkey.LetIn
	}
	if !slices.Contains(list, v.Reason) {
		s.t.Errorf("outcome %q with reason %q", v.Outcome, v.Reason)
	}
}

func (s *suite) want(v latchkey.Verdict, o latchkey.Outcome, reasons ...latchkey.Reason) {
	s.t.Helper()
	if v.Outcome != o || !slices.Contains(reasons, v.Reason) {
		s.t.Errorf("verdict %s %s, want %s %v", v.Outcome, v.Reason, o, reasons)
	}
}

func (s *suite) allowed(v latchkey.Verdict) {
	s.t.Helper()
	s.want(v, latchkey.Allowed, latchkey.VerifiedOnline, latchkey.VerifiedOffline)
}

func verdictOf(t logon.Turn) latchkey.Verdict {
	if t.Verdict == nil {
		return latchkey.Verdict{}
	}
	return *t.Verdict
}

func rightCode(_ *testing.T, s *suite) { s.allowed(s.login(s.Code(0))) }

func sameCode(_ *testing.T, s *suite) {
	code := s.Code(0)
	s.allowed(s.login(code))
	s.want(s.login(code), latchkey.Denied, latchkey.CodeAlreadyUsed)
	s.want(s.login(code), latchkey.Denied, latchkey.CodeAlreadyUsed)
	s.Advance(60 * time.Second) // replays were not charged
	s.allowed(s.login(s.Code(0)))
}

func olderCode(_ *testing.T, s *suite) {
	older := s.Code(-1)
	s.allowed(s.login(s.Code(0)))
	s.want(s.login(older), latchkey.Denied, latchkey.CodeAlreadyUsed)
}

func wrongCode(_ *testing.T, s *suite) {
	for _, typed := range []string{s.wrong(), "12345", "abcdef", s.Code(0) + "0"} {
		s.want(s.login(typed), latchkey.Denied, latchkey.WrongCode)
	}
}

// emptyAnswer: whether it is asked again or refused is the authority's choice.
func emptyAnswer(t *testing.T, s *suite) {
	for range 12 { // twelve charges would lock
		l := s.named()
		turn, err := s.answer(l, s.begin(l), "")
		if err == nil && verdictOf(turn).Outcome.Enters() {
			t.Error("nothing typed lets in")
		}
	}
	s.allowed(s.login(s.Code(0)))
}

// wrong is a code that no step near now has.
func (s *suite) wrong() string {
	near := []string{s.Code(-2), s.Code(-1), s.Code(0), s.Code(1), s.Code(2)}
	for _, c := range []string{"000000", "111111", "222222", "333333", "444444", "555555"} {
		if !slices.Contains(near, c) {
			return c
		}
	}
	panic("six codes of a million are all near")
}

func farCodes(_ *testing.T, s *suite) {
	s.want(s.login(s.Code(-2)), latchkey.Denied, latchkey.WrongCode)
	s.want(s.login(s.Code(2)), latchkey.Denied, latchkey.WrongCode)
	s.allowed(s.login(s.Code(1)))
}

func idempotent(t *testing.T, s *suite) {
	l := s.named()
	p, code := s.begin(l), s.Code(0)
	for range 3 {
		turn, err := s.answer(l, p, code)
		if err != nil {
			t.Fatal(err)
		}
		s.allowed(verdictOf(turn))
	}
	l = s.named()
	p = s.begin(l)
	for range 12 { // twelve charges would lock
		turn, err := s.answer(l, p, s.wrong())
		if err != nil {
			t.Fatal(err)
		}
		s.want(verdictOf(turn), latchkey.Denied, latchkey.WrongCode)
	}
	s.Advance(60 * time.Second)
	s.allowed(s.login(s.Code(0)))
}

func foreignState(t *testing.T, s *suite) {
	a, b := s.named(), s.named()
	s.begin(b)
	turn, err := s.answer(b, s.begin(a), s.Code(0))
	if err == nil && verdictOf(turn).Outcome.Enters() {
		t.Error("the state of one logon works in another")
	}
}

func garbledState(t *testing.T, s *suite) {
	for _, state := range [][]byte{nil, {}, []byte("{}"), []byte(`{"turn":1,"done":["totp"]}`), make([]byte, 200)} {
		l := s.named()
		p := s.begin(l)
		p.State = state
		turn, err := s.answer(l, p, s.Code(0))
		if err == nil && verdictOf(turn).Outcome.Enters() {
			t.Errorf("state %q lets in", state)
		}
	}
}

func throttle(_ *testing.T, s *suite) {
	for range 5 {
		s.want(s.login(s.wrong()), latchkey.Denied, latchkey.WrongCode)
	}
	v := s.login(s.Code(0))
	s.want(v, latchkey.Denied, latchkey.Throttled)
	if v.Retry.IsZero() && v.Text == "" { // an agent has the server's sentence
		s.t.Error("throttled without saying until when")
	}
	s.Advance(31 * time.Second)
	s.allowed(s.login(s.Code(0)))
}

func lock(_ *testing.T, s *suite) {
	s.lockOut()
	s.want(s.login(s.Code(0)), latchkey.Locked, latchkey.LockedOut)
}

// lockOut answers wrongly until the lock.
func (s *suite) lockOut() {
	for i := 0; i < 10; {
		if v := s.login(s.wrong()); v.Reason == latchkey.WrongCode {
			i++
		}
		s.Advance(9 * time.Minute)
	}
}

// own is the suite for the user's own programs.
func (s *suite) own() *suite {
	return &suite{Fixture{s.Authority, s.Own, s.Own, s.Code, s.Advance}, s.t}
}

func ownLock(_ *testing.T, s *suite) {
	s.own().lockOut()
	s.want(s.own().login(s.Code(0)), latchkey.Locked, latchkey.LockedOut)
	s.allowed(s.login(s.Code(0)))
	s.Advance(time.Minute)
	s.want(s.own().login(s.Code(0)), latchkey.Locked, latchkey.LockedOut) // his login paid for nothing that they did
}

func rootLock(_ *testing.T, s *suite) {
	s.lockOut()
	s.allowed(s.own().login(s.Code(0)))
	s.Advance(time.Minute)
	s.want(s.login(s.Code(0)), latchkey.Locked, latchkey.LockedOut) // opening his screen forgave nothing
}

func ownCode(_ *testing.T, s *suite) {
	code := s.Code(0)
	s.allowed(s.own().login(code))
	s.want(s.login(code), latchkey.Denied, latchkey.CodeAlreadyUsed)
	s.want(s.own().login(code), latchkey.Denied, latchkey.CodeAlreadyUsed)
}

// foreignCaller: a prompt that root's program was given is not answered by
// another, nor the other way round: it would be charged to the wrong one.
func foreignCaller(t *testing.T, s *suite) {
	mine := s.own().named()
	roots := mine
	roots.Caller = 0
	for name, way := range map[string][2]latchkey.Logon{"root's": {roots, mine}, "his own": {mine, roots}} {
		turn, err := s.answer(way[1], s.begin(way[0]), s.Code(0))
		if err == nil && verdictOf(turn).Outcome.Enters() {
			t.Errorf("the state of %s program works in the other", name)
		}
	}
}

func beginIsFree(_ *testing.T, s *suite) {
	for range 30 {
		s.begin(s.named())
	}
	s.allowed(s.login(s.Code(0)))
}

func help(t *testing.T, s *suite) {
	l := s.named()
	p := s.begin(l)
	turn, err := s.answer(l, p, "?")
	if err != nil || turn.Prompt == nil {
		t.Fatalf("a question mark: %+v, %v", verdictOf(turn), err)
	}
	turn, err = s.answer(l, *turn.Prompt, s.Code(0))
	if err != nil {
		t.Fatal(err)
	}
	s.allowed(verdictOf(turn))
}

func unknownUser(_ *testing.T, s *suite) {
	s.Logon.User, s.Logon.UID = "nobody-by-that-name", nil
	s.want(s.login(s.Code(0)), latchkey.Denied, latchkey.UnknownIdentity)
}

func race(t *testing.T, s *suite) {
	type open struct {
		l latchkey.Logon
		p latchkey.Prompt
	}
	var opened []open
	for range 50 {
		l := s.named()
		opened = append(opened, open{l, s.begin(l)})
	}
	code, results := s.Code(0), make(chan latchkey.Verdict, 50)
	var wg sync.WaitGroup
	for _, o := range opened {
		wg.Go(func() {
			turn, err := s.answer(o.l, o.p, code)
			if err != nil {
				t.Error(err)
			}
			results <- verdictOf(turn)
		})
	}
	wg.Wait()
	close(results)
	allowed := 0
	for v := range results {
		if v.Outcome == latchkey.Allowed {
			allowed++
		} else {
			s.want(v, latchkey.Denied, latchkey.CodeAlreadyUsed)
		}
	}
	if allowed != 1 {
		t.Errorf("one code let in %d times", allowed)
	}
}
