package vault

import (
	"encoding/hex"
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"

	"latchkey"
	"latchkey/internal/api"
)

// record appends an event to the ring and returns its number. A full ring
// overwrites its oldest event and counts it as lost; it never refuses.
func (d *draft) record(r api.Report) uint64 {
	e := eventOf(r)
	e.Seq, e.Prev = d.head.Ring.Next, d.head.Ring.Last
	before := d.head.Ring.first(d.ledger.shape)
	d.head.Ring.Next++
	d.head.Ring.Lost += d.head.Ring.first(d.ledger.shape) - before
	d.head.Ring.Last = sumOf(e.report())
	d.events = append(d.events, e)
	return e.Seq
}

// first is the number of the oldest event that is not acknowledged and still
// there. One place is always free: writing the next event must not destroy one
// that the current head still counts on.
func (r ring) first(s shape) uint64 {
	keep := uint64(s.Events) - 1
	return max(r.Acked+1, r.Next-min(r.Next, keep))
}

// reports returns the oldest events that the server has not acknowledged, at
// most limit of them. One that cannot be read is left out: the gap shows.
func (l *ledger) reports(limit int) ([]api.Report, error) {
	var out []api.Report
	r := l.head.Ring
	for seq := r.first(l.shape); seq < r.Next && len(out) < limit; seq++ {
		var e event
		if err := l.read(l.shape.event(seq), eventSize, &e, nil); err != nil {
			if errors.Is(err, errDamaged) {
				continue
			}
			return out, err
		}
		if e.Seq == seq {
			out = append(out, e.report())
		}
	}
	return out, nil
}

// acknowledge forgets the events up to seq. A server that has seen more of this
// machine than the ledger knows (the ledger was lost) moves the numbers on, so
// that new events are not taken for old ones.
func (d *draft) acknowledge(seq uint64, pending []api.Report) {
	r := &d.head.Ring
	if seq < r.Next || seq > farSeq {
		if seq < r.Next && seq > r.Acked {
			r.Acked = seq
		}
		return
	}
	r.Next, r.Acked = seq+1, seq
	for _, p := range pending {
		d.record(p)
	}
}

// farSeq is no number of an event: a counter must not wrap on anybody's word.
const farSeq = 1 << 62

func sumOf(r api.Report) (sum [32]byte) {
	raw, err := hex.DecodeString(r.Sum())
	if err == nil {
		copy(sum[:], raw)
	}
	return sum
}

func eventOf(r api.Report) event {
	return event{
		At: r.At, Logon: labelOf(r.Logon), User: labelOf(string(r.User)), Typed: labelOf(printable(r.Typed)),
		Scenario: wordOf(string(r.Scenario)), Outcome: wordOf(string(r.Outcome)), Reason: wordOf(string(r.Reason)),
		Kind: wordOf(string(r.Kind)), Credential: labelOf(string(r.Credential)), Used: r.Used,
	}
}

func (e event) report() api.Report {
	return api.Report{
		Seq: e.Seq, Prev: hex.EncodeToString(e.Prev[:]), At: e.At, Logon: e.Logon.String(),
		User: latchkey.UserID(e.User.String()), Typed: e.Typed.String(),
		Scenario: latchkey.Scenario(e.Scenario.String()), Outcome: latchkey.Outcome(e.Outcome.String()),
		Reason: latchkey.Reason(e.Reason.String()), Kind: latchkey.Kind(e.Kind.String()),
		Credential: latchkey.AuthenticatorID(e.Credential.String()), Used: e.Used,
	}
}

// printable is a typed name as an event keeps it: at most a label long, whole
// characters, none that could not be printed.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
	for len(s) > len(label{}) {
		_, n := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-n]
	}
	return s
}
