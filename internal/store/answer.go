package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"latchkey/internal/authn"
)

// settled keeps what was said to an answer.
func (t *Tx) settled(s authn.Settlement) error {
	if s.Answer == nil {
		return nil
	}
	doc, err := json.Marshal(s.Result)
	if err != nil {
		return fmt.Errorf("writing a settled answer: %w", err)
	}
	n, err := t.affected("INSERT INTO answers (id, at, result) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING",
		s.Answer, s.Now.UnixMilli(), string(doc))
	if err == nil && n == 0 {
		err = authn.ErrAnswered
	}
	return errors.Join(err, t.forget(s.Now))
}

// Answered implements authn.Store.
func (db *DB) Answered(ctx context.Context, answer []byte) (authn.Result, bool, error) {
	var doc string
	err := db.row(ctx, "SELECT result FROM answers WHERE id = $1", answer).Scan(&doc)
	if errors.Is(err, sql.ErrNoRows) {
		return authn.Result{}, false, nil
	}
	if err != nil {
		return authn.Result{}, false, err
	}
	var r authn.Result
	if err := json.Unmarshal([]byte(doc), &r); err != nil {
		return authn.Result{}, false, fmt.Errorf("reading a settled answer: %w", err)
	}
	return r, true, nil
}

// forget drops what was said to answers long ago, now and then. Their prompts
// are no longer taken back, so nobody can ask again.
func (t *Tx) forget(now time.Time) error {
	if t.db.settled.Add(1)%forgetEvery != 0 {
		return nil
	}
	return t.exec("DELETE FROM answers WHERE at < $1", now.Add(-answersKept).UnixMilli())
}

const (
	forgetEvery = 512
	answersKept = 10 * time.Minute // longer than a prompt's state lives
)
