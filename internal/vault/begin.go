package vault

import (
	"context"
	"crypto/hmac"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"latchkey"
	"latchkey/internal/api"
	"latchkey/internal/logon"
	"latchkey/internal/policy"
	"latchkey/internal/seal"
)

// Begin implements logon.Authority. A logon that ends here is in the ledger
// before the verdict is out.
func (v *Vault) Begin(_ context.Context, l latchkey.Logon) (logon.Turn, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := v.look(l)
	if reason, no := s.refused(); no {
		// Not recorded: a stranger on the machine must not push the events of
		// others out of the ring.
		return v.end(s, latchkey.DenyVerdict(reason)), nil
	}
	if l.Account {
		return v.account(s)
	}
	if s.decided.Action == policy.Ask {
		return v.ask(s, v.question(s), logon.Progress{})
	}
	return v.conclude(s, v.ledger.draft(), s.verdict(), api.Report{})
}

// account says whether the account may enter at all, without asking for a
// factor: rows 1 to 3 of the outcome table.
func (v *Vault) account(s *scene) (logon.Turn, error) {
	if d := s.decided; d.Row <= 3 {
		return v.conclude(s, v.ledger.draft(), s.verdict(), api.Report{})
	}
	return v.end(s, latchkey.Verdict{Outcome: latchkey.NotRequired, Reason: latchkey.ScenarioOff}), nil
}

// verdict is what a decision ends with that asks for nothing.
func (s *scene) verdict() latchkey.Verdict {
	d := s.decided
	if d.Outcome() == "" {
		return latchkey.DenyVerdict(latchkey.InternalError)
	}
	w := latchkey.Verdict{Outcome: d.Outcome(), Reason: d.Reason}
	_, token := s.tokenCodes()
	switch {
	case d.TokenUsedUp:
		w.Text = logon.TokenUsedUp
	case d.DaysOver:
		w.Text = logon.DaysOver
	case w.Reason == latchkey.OfflineLimitReached:
		w.Text = logon.Sentence(w, s.now)
	}
	if token && w.Reason == latchkey.OfflineLimitReached && !d.TokenUsedUp {
		w.Text += logon.PressNoMore
	}
	return w
}

// end completes a verdict for the person.
func (v *Vault) end(s *scene, w latchkey.Verdict) logon.Turn {
	w.Offline = true
	if w.Text == "" {
		w.Text = logon.Sentence(w, s.now)
	}
	return logon.End(w)
}

// conclude writes the draft together with the event of the verdict; only then
// the verdict is out.
func (v *Vault) conclude(s *scene, d *draft, w latchkey.Verdict, e api.Report) (logon.Turn, error) {
	if s.silent(w) {
		return v.end(s, w), nil
	}
	e.At, e.Logon, e.Scenario = s.now.UnixMilli(), s.logon.ID, s.logon.Scenario
	e.Outcome, e.Reason = w.Outcome, w.Reason
	if s.record != nil {
		e.User = latchkey.UserID(s.record.User.String())
	} else {
		e.Typed = s.logon.User
	}
	w.Event = strconv.FormatUint(d.record(e), 10)
	if err := v.commit(d, s.reading); err != nil {
		return logon.Turn{}, fmt.Errorf("recording logon %s: %w", s.logon.ID, err)
	}
	return v.end(s, w), nil
}

// silent: a program of the user's own leaves an event only where a code was
// charged or consumed. Anything else it could repeat for ever, and push the
// events of others out of the ring.
func (s *scene) silent(w latchkey.Verdict) bool {
	return s.own() && w.Reason != latchkey.WrongCode && w.Reason != latchkey.VerifiedOffline
}

// ask returns the next prompt. How far the logon is travels in the prompt's
// state, under a MAC: nothing is kept in memory for people who walk away.
func (v *Vault) ask(s *scene, q logon.Question, p logon.Progress) (logon.Turn, error) {
	prompt, p := q.Next(p)
	doc, err := json.Marshal(p)
	if err != nil {
		return logon.Turn{}, fmt.Errorf("writing prompt state: %w", err)
	}
	prompt.State = append(v.stateMAC(s, doc), doc...)
	return logon.Prompt(prompt), nil
}

var errState = errors.New("the answer belongs to no prompt of this logon")

// progress reads the state of the prompt that an answer is for.
func (v *Vault) progress(s *scene, a latchkey.Answer) (logon.Progress, error) {
	if len(a.State) < macSize || !hmac.Equal(a.State[:macSize], v.stateMAC(s, a.State[macSize:])) {
		return logon.Progress{}, errState
	}
	var p logon.Progress
	if err := seal.DecodeStrict(a.State[macSize:], &p); err != nil {
		return logon.Progress{}, errors.Join(errState, err)
	}
	if p.Turn != a.Prompt {
		return logon.Progress{}, errState
	}
	return p, nil
}

// stateMAC binds a state to the logon, the user and the caller.
func (v *Vault) stateMAC(s *scene, doc []byte) []byte {
	var user label
	if s.record != nil {
		user = s.record.User
	}
	return seal.MAC(v.local, "latchkey/prompt/1", []byte(s.logon.ID), user[:],
		binary.BigEndian.AppendUint32(nil, s.logon.Caller), []byte(s.logon.Scenario), doc)
}
