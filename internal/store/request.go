package store

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/hex"
	"time"

	"latchkey"
	"latchkey/internal/secret"
)

const (
	// requestsKept is how long a command is known again by its key.
	requestsKept = 24 * time.Hour
	// requestLife is longer than any request takes: one without an answer that
	// is older was cut off, by a crash or a power cut.
	requestLife = time.Minute
	// fleeting is the table of commands. Their answers hold tokens and seeds, for
	// whoever lost one: no backup keeps them.
	fleeting = "requests"
)

// ClaimRequest notes that a command is under way: id names who sent it and the
// key that he chose, command what he sent. A command that was answered before
// comes back with its status and answer; 0 where it is to be carried out now.
// Errors: KeyReused for another command under the key, InProgress where the
// first one is not answered yet, Interrupted where it never will be.
func (db *DB) ClaimRequest(ctx context.Context, id, command []byte) (status int, answer secret.Bytes, err error) {
	err = db.InTx(ctx, func(t *Tx) error {
		now := db.now()
		status, answer = 0, nil // it may run twice
		if err := t.forgetOld(); err != nil {
			return err
		}
		n, err := t.affected("INSERT INTO requests (id, command, at) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING", id, command, now.UnixMilli())
		if err != nil || n == 1 {
			return err
		}
		status, answer, err = t.request(id, command, now)
		return err
	})
	return status, answer, err
}

// ForgetRequests forgets the commands that are past their time: their answers
// hold secrets, and the next command may never come.
func (db *DB) ForgetRequests(ctx context.Context) error { return db.beside(ctx, (*Tx).forgetOld) }

func (t *Tx) forgetOld() error {
	return t.exec("DELETE FROM requests WHERE at < $1", t.db.now().Add(-requestsKept-requestLife).UnixMilli())
}

// forgetAnswers drops every answer that is kept, because one may hold what was
// revoked just now. The commands stay: none is carried out again. They are as old
// as those that were cut off: none is under way, and nobody has to wait to learn
// that its answer is gone.
func (t *Tx) forgetAnswers() error {
	return t.exec("UPDATE requests SET status = NULL, wrapped = NULL, at = at - $1 WHERE status IS NOT NULL", requestLife.Milliseconds())
}

// InterruptRequest says of a command that was claimed that it will have no answer.
func (db *DB) InterruptRequest(ctx context.Context, id []byte) error {
	return db.InTx(ctx, func(t *Tx) error {
		return t.exec("UPDATE requests SET at = at - $1 WHERE id = $2 AND status IS NULL", requestLife.Milliseconds(), id)
	})
}

// request reads a command that was claimed before.
func (t *Tx) request(id, command []byte, now time.Time) (int, secret.Bytes, error) {
	var sent, wrapped []byte
	var at int64
	var status sql.NullInt64
	err := t.row("SELECT command, at, status, wrapped FROM requests WHERE id = $1", id).Scan(&sent, &at, &status, &wrapped)
	switch {
	case err != nil:
		return 0, nil, err
	case !bytes.Equal(sent, command):
		return 0, nil, latchkey.Errorf(latchkey.KeyReused, "the Idempotency-Key belongs to another command").WithHint("every command takes a new one")
	case status.Valid:
		answer, err := t.db.wrap.Unwrap(requestRow(id), wrapped)
		return int(status.Int64), answer, err
	case now.Sub(time.UnixMilli(at)) < requestLife:
		return 0, nil, latchkey.Errorf(latchkey.InProgress, "the same command is under way").WithHint("ask again in a moment")
	}
	return 0, nil, latchkey.Errorf(latchkey.Interrupted, "the command was cut off, and may have been carried out").
		WithHint("look for what it should have done; where it is missing, send the command anew under another key")
}

// AnswerRequest keeps the answer to a command that was claimed.
func (db *DB) AnswerRequest(ctx context.Context, id []byte, status int, answer secret.Bytes) error {
	return db.InTx(ctx, func(t *Tx) error {
		wrapped, err := t.wrap(requestRow(id), answer)
		if err != nil {
			return err
		}
		return t.exec("UPDATE requests SET status = $1, wrapped = $2 WHERE id = $3", status, wrapped, id)
	})
}

// ReleaseRequest forgets a command that changed nothing.
func (db *DB) ReleaseRequest(ctx context.Context, id []byte) error {
	return db.InTx(ctx, func(t *Tx) error {
		return t.exec("DELETE FROM requests WHERE id = $1 AND status IS NULL", id)
	})
}

// requestRow is what the wrapping of an answer is bound to.
func requestRow(id []byte) string { return "requests/" + hex.EncodeToString(id) }
