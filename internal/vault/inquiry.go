package vault

import (
	"encoding/hex"
	"fmt"
	"io"
	"time"

	"latchkey/internal/logon"
)

// An Inquiry is a question that this machine puts to the server: what a signed
// answer is held against before anything in it counts. The zero Inquiry has no
// answer.
type Inquiry struct {
	Nonce string // 32 hex digits, which the answer repeats

	asked  Reading       // before the question left
	within time.Duration // how long question and answer may be under way together
}

// ownTime is what the machine may add to the budget of an exchange by itself:
// waiting for the vault, and for a disk that is busy.
const ownTime = 5 * time.Second

// Inquire begins a question whose exchange may take as long as budget. It is
// called right before the question leaves.
func (v *Vault) Inquire(budget time.Duration) (Inquiry, error) {
	var b [16]byte
	if _, err := io.ReadFull(v.c.Rand, b[:]); err != nil {
		return Inquiry{}, fmt.Errorf("making a nonce: %w", err)
	}
	return Inquiry{Nonce: hex.EncodeToString(b[:]), asked: v.c.Clock(), within: budget + ownTime}, nil
}

// A moment is a time that the server signed, where the machine's own clocks
// stood when it was taken up, and how long after the question that was.
type moment struct {
	at     time.Time
	r      Reading
	flight time.Duration
}

// answered takes up an answer that was signed at that Unix millisecond. A
// machine that slept between question and answer does not notice by its timers:
// they slept too. The time of before the sleep would be taken for the present,
// and the machine's clock be late by the length of the sleep, without any doubt
// about it. So the reading that is asked here is the one that the signed time is
// paired with, and no other. The error is logon.ErrSlept.
func (q Inquiry) answered(at int64, r Reading) (moment, error) {
	flight := r.Boot - q.asked.Boot
	if r.BootID != q.asked.BootID || flight < 0 || flight > q.within {
		return moment{}, logon.ErrSlept
	}
	return moment{time.UnixMilli(at), r, flight}, nil
}
