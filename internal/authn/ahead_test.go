package authn_test

import (
	"strings"
	"testing"

	"latchkey"
	"latchkey/internal/otp"
	"latchkey/internal/secret"
)

// press is the code of a counter of ana's token.
func press(t testing.TB, n uint64) string {
	t.Helper()
	v, err := otp.Code(secret.Bytes("12345678901234567890"), n, otp.SHA1, 6)
	if err != nil {
		t.Fatal(err)
	}
	return otp.Format(v, 6)
}

func TestATokenThatIsAheadComesBackByTwoCodes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.hotp(w.user("ana"))
	w.expect(w.login("ana", press(t, 10)), "allow verified_online") // ten ahead: one code
	w.expect(w.login("ana", press(t, 30)), "ask secret hotp")
	w.expect(w.login("ana", press(t, 30), press(t, 32)), "deny wrong_code")
	w.expect(w.login("ana", press(t, 30), press(t, 30)), "deny code_already_used")
	w.expect(w.login("ana", press(t, 47)), "deny wrong_code") // past the window
	if n := w.count(latchkey.WrongCode); n != 2 {
		t.Errorf("%d were charged", n)
	}
	w.expect(w.login("ana", press(t, 30), "?", "", press(t, 31)), "allow verified_online")
	w.expect(w.login("ana", press(t, 30)), "deny code_already_used")
	w.expect(w.login("ana", press(t, 31)), "deny code_already_used")
	w.expect(w.login("ana", press(t, 32)), "allow verified_online")
}

func TestE15AWrongCodeOfATokenDoesNotSendPeopleOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.hotp(w.user("ana"))
	l, a := w.logon("ana"), w.authn.ForMachine(w.machine)
	turn, err := a.Begin(w.ctx, l)
	w.must(err)
	r, err := a.Answer(w.ctx, l, latchkey.Answer{Prompt: turn.Prompt.ID, State: turn.Prompt.State, Value: secret.Bytes(press(t, 47))})
	w.must(err)
	want := "That code is not right. Try the code that your hardware token shows now. If it is refused too, press no more: ask the help desk."
	if r.Verdict == nil || r.Verdict.Text != want {
		t.Errorf("said %+v", r.Verdict)
	}
}

func TestTheQuestionForTheNextCodeSaysWhatToDo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.hotp(w.user("ana"))
	l, a := w.logon("ana"), w.authn.ForMachine(w.machine)
	turn, err := a.Begin(w.ctx, l)
	w.must(err)
	first := *turn.Prompt
	turn, err = a.Answer(w.ctx, l, latchkey.Answer{Prompt: first.ID, State: first.State, Value: secret.Bytes(press(t, 20))})
	w.must(err)
	if turn.Prompt == nil || !strings.HasPrefix(turn.Prompt.Label, "That code is ahead. Press the token once more and type the next code") {
		t.Fatalf("asked %+v", turn)
	}
	// The right second code is worth nothing at the first question, nor in
	// another logon.
	w.expect(show(a.Answer(w.ctx, l, latchkey.Answer{Prompt: 1, State: first.State, Value: secret.Bytes(press(t, 21))})), "ask secret hotp")
	if _, err := a.Answer(w.ctx, w.logon("ana"), latchkey.Answer{State: turn.Prompt.State, Value: secret.Bytes(press(t, 21))}); latchkey.CodeOf(err) != latchkey.Invalid {
		t.Errorf("in another logon: %v", err)
	}
	answer := latchkey.Answer{Prompt: turn.Prompt.ID, State: turn.Prompt.State, Value: secret.Bytes(press(t, 21))}
	w.expect(show(a.Answer(w.ctx, l, answer)), "allow verified_online")
	w.expect(show(a.Answer(w.ctx, l, answer)), "allow verified_online") // the same answer once more is the same answer
}

func TestAWordAtTheQuestionForTheNextCodeBeginsAnew(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ana := w.user("ana")
	w.totp(ana)
	w.hotp(ana)
	w.expect(w.login("ana", "hotp", press(t, 20), "totp", w.code(0)), "allow verified_online")
	w.expect(w.login("ana", "hotp", press(t, 20), "hotp", press(t, 21)), "ask secret hotp")
	w.expect(w.login("ana", "hotp", press(t, 20), "hotp", press(t, 21), press(t, 22)), "allow verified_online")
}
