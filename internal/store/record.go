package store

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"

	"latchkey"
)

// A record is an event together with what the columns of its row know beyond
// it.
type record struct {
	latchkey.Event
	Credential latchkey.AuthenticatorID
	Used       *uint64 // step or counter that was consumed
	Seq        *uint64 // number of a machine's report
}

// addEvent writes an event of the change that this transaction makes. An event
// without an id is given one, one without a time the time of now.
func (t *Tx) addEvent(e latchkey.Event) error { return t.addRecord(record{Event: e}) }

func (t *Tx) addRecord(r record) error {
	if r.Kind == "" {
		return fmt.Errorf("recording: event without a kind")
	}
	if r.Time.IsZero() {
		r.Time = t.db.now()
	}
	if r.ID == "" {
		id, err := t.db.EventID()
		if err != nil {
			return err
		}
		r.ID = id
	}
	detail, err := json.Marshal(r.Detail)
	if err != nil || r.Detail == nil {
		detail = []byte("{}")
	}
	const insert = `INSERT INTO events (id, time, kind, actor, user_id, user_name, machine_id, host,
		outcome, reason, offline, scenario, logon, credential, used, seq, detail)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)`
	return t.exec(insert, r.ID, r.Time.UnixMilli(), string(r.Kind), r.Actor, string(r.User), r.UserName,
		string(r.Machine), r.Host, string(r.Outcome), string(r.Reason), r.Offline, string(r.Scenario),
		r.Logon, text(string(r.Credential)), number(r.Used), number(r.Seq), string(detail))
}

// EventID names an event: the time of writing, a number within it, then
// randomness. Rows that are written together lie together, in their order.
func (db *DB) EventID() (string, error) {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], db.moment())
	if _, err := io.ReadFull(db.rand, b[8:]); err != nil {
		return "", fmt.Errorf("naming an event: %w", err)
	}
	return fmt.Sprintf("evt_%x", b), nil
}

// moment is now in 1/65,536 of a millisecond, and more than any moment before.
func (db *DB) moment() uint64 {
	now := uint64(max(0, db.now().UnixMilli())) << 16
	for {
		last := db.last.Load()
		next := max(now, last+1)
		if db.last.CompareAndSwap(last, next) {
			return next
		}
	}
}

// text is how an optional text is stored.
func text(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// number is how an optional number is stored.
func number(n *uint64) any {
	if n == nil {
		return nil
	}
	return int64(*n)
}
