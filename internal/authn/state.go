package authn

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"time"

	"latchkey"
	"latchkey/internal/logon"
	"latchkey/internal/seal"
)

// The domains of the two MACs.
const (
	stateDomain  = "latchkey/prompt/1"
	answerDomain = "latchkey/answer/1"
)

// StateLife is how long a prompt's state is taken back.
const StateLife = 120 * time.Second

// maxState bounds what is parsed, in bytes.
const maxState = 8 << 10

// A state is what must be remembered between two turns of a logon. It travels
// through the machine, which cannot read more from it than it knows and cannot
// change it.
type state struct {
	Machine  latchkey.MachineID `json:"machine"`
	Logon    latchkey.LogonID   `json:"logon"`
	User     string             `json:"user"`
	UID      *uint32            `json:"uid"`
	SID      string             `json:"sid"`
	Local    bool               `json:"local"`
	Scenario latchkey.Scenario  `json:"scenario"`
	Caller   uint32             `json:"caller"`
	Progress logon.Progress     `json:"progress"`
	Expires  int64              `json:"expires"` // Unix milliseconds
}

func (a *Authority) seal(h hearing, p logon.Progress) ([]byte, error) {
	l := h.logon
	doc, err := json.Marshal(state{
		a.machine, l.ID, l.User, l.UID, l.SID, l.Local, l.Scenario, l.Caller, p, h.now.Add(StateLife).UnixMilli(),
	})
	if err != nil {
		return nil, fmt.Errorf("writing the prompt's state: %w", err)
	}
	return append(doc, seal.MAC(a.keys.State, stateDomain, doc)...), nil
}

var errState = latchkey.Errorf(latchkey.Invalid, "the answer belongs to no question that was asked here")

// open reads a state back. Anything but the state of this machine and this very
// logon is refused.
func (a *Authority) open(raw []byte, l latchkey.Logon) (state, error) {
	if len(raw) <= sha256.Size || len(raw) > maxState {
		return state{}, errState
	}
	doc, tag := raw[:len(raw)-sha256.Size], raw[len(raw)-sha256.Size:]
	if !seal.VerifyMAC(a.keys.State, tag, stateDomain, doc) {
		return state{}, errState
	}
	var s state
	if err := json.Unmarshal(doc, &s); err != nil {
		return state{}, errState
	}
	if s.Machine != a.machine || !s.same(l) {
		return state{}, errState
	}
	return s, nil
}

// same reports whether l is the logon that the state was made for.
func (s state) same(l latchkey.Logon) bool {
	uid := (s.UID == nil) == (l.UID == nil) && (s.UID == nil || *s.UID == *l.UID)
	return uid && s.Logon == l.ID && s.User == l.User && s.SID == l.SID &&
		s.Local == l.Local && s.Scenario == l.Scenario && s.Caller == l.Caller && !l.Account
}

func (s state) expired(now time.Time) bool { return now.UnixMilli() >= s.Expires }

// name names an answer. The same answer to the same prompt has the same name;
// nobody without the key can tell the answer from it. It begins with the time
// when the prompt ends: what is written together then lies together.
func (a *Authority) name(l latchkey.Logon, s state, ans latchkey.Answer) []byte {
	end := binary.BigEndian.AppendUint64(nil, uint64(max(0, s.Expires)))
	return append(end, seal.MAC(a.keys.State, answerDomain, []byte(a.machine), []byte(l.ID), ans.State, ans.Value)...)
}
