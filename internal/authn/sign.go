package authn

import (
	"context"
	"encoding/json"
	"fmt"

	"latchkey"
	"latchkey/internal/api"
	"latchkey/internal/seal"
)

// BeginSigned is Begin for a machine: a verdict is signed and bound to the
// nonce.
func (a *Authority) BeginSigned(ctx context.Context, nonce string, l latchkey.Logon) (api.Turn, error) {
	r, err := a.begin(ctx, l)
	if err != nil {
		return api.Turn{}, err
	}
	return a.sign(r, nonce)
}

// AnswerSigned is Answer for a machine.
func (a *Authority) AnswerSigned(ctx context.Context, nonce string, l latchkey.Logon, ans latchkey.Answer) (api.Turn, error) {
	r, err := a.answer(ctx, l, ans)
	if err != nil {
		return api.Turn{}, err
	}
	return a.sign(r, nonce)
}

// sign dates a verdict with this moment: a repeated one carries no old time.
func (a *Authority) sign(r Result, nonce string) (api.Turn, error) {
	if r.Verdict == nil {
		return api.Turn{Prompt: r.prompt}, nil
	}
	v := *r.Verdict
	v.Nonce, v.At = nonce, a.now().UnixMilli()
	doc, err := json.Marshal(v)
	if err != nil {
		return api.Turn{}, fmt.Errorf("writing verdict: %w", err)
	}
	key := a.keys.Signer
	if a.keys.Ring != nil {
		key = a.keys.Ring().Signer
	}
	signed, err := seal.Sign(key, api.VerdictType, doc)
	return api.Turn{Verdict: signed, Outcome: v.Outcome, Reason: v.Reason}, err
}
