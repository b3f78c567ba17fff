package vault_test

import (
	"testing"

	"latchkey"
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
