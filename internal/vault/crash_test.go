package vault_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"latchkey"
	"latchkey/internal/secret"
	"latchkey/internal/vault"
	"latchkey/internal/verify"
)

// A dying box is the real one until its process is killed: after a number of
// writes to the ledger, in the middle of the next one.
type dying struct {
	vault.Box
	left int
	torn int
}

var errKilled = errors.New("killed")

func (d *dying) Ledger() (vault.File, error) {
	f, err := d.Box.Ledger()
	return &dyingFile{f, d}, err
}

type dyingFile struct {
	vault.File
	box *dying
}

func (f *dyingFile) WriteAt(b []byte, at int64) (int, error) {
	if f.box.left--; f.box.left < 0 {
		if f.box.left == -1 {
			_, _ = f.File.WriteAt(b[:min(f.box.torn, len(b))], at)
		}
		return 0, errKilled
	}
	return f.File.WriteAt(b, at)
}

func (f *dyingFile) Sync() error {
	if f.box.left--; f.box.left < 0 {
		return errKilled
	}
	return f.File.Sync()
}

// kill runs one answer in an agent that dies in the middle, and starts another
// one. It reports whether there was a verdict.
func (w *world) kill(text string, writes, torn int) (turn string, answered bool) {
	w.t.Helper()
	w.v.Close()
	w.config.Box = &dying{w.box, writes, torn}
	var err error
	w.v, err = vault.Open(w.config)
	must(w.t, err)
	l := w.logon(latchkey.Console)
	p := w.begin(l).Prompt
	got, err := w.v.Answer(context.Background(), l, latchkey.Answer{Prompt: p.ID, Value: secret.Bytes(text), State: p.State})
	if answered = err == nil; answered {
		turn = said(got)
	}
	w.restart()
	return turn, answered
}

func TestF03KilledAtEveryWriteOfALogin(t *testing.T) {
	t.Parallel()
	for _, torn := range []int{0, 1, 100, 500, 2000} {
		t.Run(fmt.Sprintf("torn after %d bytes", torn), func(t *testing.T) {
			t.Parallel()
			w, _ := offline(t, func(u *user) {
				withToken(t)(u)
				u.policy.Offline.Logins = nil
			})
			counter, answers := uint64(0), 0
			for writes := range 7 { // slot, event, head, sync; then there is a verdict
				said, answered := w.kill(w.hotp(counter), writes, torn)
				again := w.login(latchkey.Console, w.hotp(counter))
				switch {
				case answered && (said != allowed || again != replayed):
					t.Errorf("after %d writes: answered %q, then %q", writes, said, again)
				case !answered && again != allowed && again != replayed:
					t.Errorf("after %d writes: a right code was answered %q", writes, again)
				}
				expect(t, w.login(latchkey.Console, w.hotp(counter)), replayed)
				counter++
				if answered {
					answers++
				}
			}
			if answers == 0 || answers == 7 {
				t.Fatalf("%d of 7 were answered: the deaths were at the wrong places", answers)
			}
		})
	}
}

func TestF03KilledAtEveryWriteOfAWrongAnswer(t *testing.T) {
	t.Parallel()
	w, _ := offline(t, withToken(t))
	shown := 0 // how often somebody learned that a code is wrong
	for writes := range 7 {
		said, answered := w.kill(w.wrong(), writes, 100)
		if answered {
			expect(t, said, wrongCode)
			shown++
		}
	}
	if shown == 0 || shown == 7 {
		t.Fatalf("%d of 7 were answered: the deaths were at the wrong places", shown)
	}
	for w.login(latchkey.Console, w.wrong()) == wrongCode {
		shown++
	}
	if shown > verify.BackoffAt {
		t.Errorf("%d guesses before the first delay", shown)
	}
	w.pass(time.Hour)
	expect(t, w.login(latchkey.Console, w.hotp(0)), allowed)
}

func TestAnUnwritableLedgerLetsNobodyIn(t *testing.T) {
	t.Parallel()
	w, _ := offline(t, asIs)
	if said, answered := w.kill(w.totp(w.wall), 0, 0); answered {
		t.Errorf("answered %s without a record", said)
	}
}
