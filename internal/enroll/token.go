package enroll

import (
	"context"
	"errors"
	"fmt"

	"latchkey"
	"latchkey/internal/api"
	"latchkey/internal/otp"
	"latchkey/internal/secret"
	"latchkey/internal/verify"
)

// Reach is how far ahead an administrator's resync searches: by two consecutive
// codes the odds of a false find stay below one in a billion.
const Reach = 1000

// errNoToken: only an event token has a counter that machines share out.
var errNoToken = latchkey.Errorf(latchkey.Invalid, "only a hardware token (hotp) has a counter and a lease")

// Resync finds a token whose counter ran away by two consecutive codes. The
// counter never goes back. It opens no lock and clears no failures.
func (e *Enroll) Resync(ctx context.Context, actor string, id latchkey.AuthenticatorID, in api.Resync) (api.Resynced, error) {
	u, held, err := e.store.Token(ctx, id)
	if err != nil {
		return api.Resynced{}, err
	}
	after, err := e.resync(id, held, in)
	if err != nil {
		return api.Resynced{}, err
	}
	out := api.Resynced{ID: id, Next: after.Next, Skipped: after.Next - held.State.Next - 2}
	event := e.event(latchkey.TokenResynced, actor, u)
	event.Detail = map[string]string{"authenticator": string(id), "skipped": fmt.Sprint(out.Skipped)}
	return out, e.store.Advance(ctx, id, held.State.Next, after.Next, event)
}

// resync finds the state past the two codes.
func (e *Enroll) resync(id latchkey.AuthenticatorID, held verify.Held, in api.Resync) (none latchkey.CredentialState, err error) {
	if held.Kind != latchkey.HOTP {
		return none, errNoToken
	}
	if len(in.Codes) != 2 {
		return none, latchkey.Errorf(latchkey.Invalid, "give two codes that the token shows one after the other")
	}
	if held.State.Next > otp.MaxCounter {
		return none, latchkey.Errorf(latchkey.Invalid, "the token's counter %d is at its end", held.State.Next).
			WithHint("remove the authenticator and add the token with a new secret")
	}
	first, second := answer(in.Codes[0]), answer(in.Codes[1])
	after, err := verify.Resync(held.Credential, held.State, first, second, Reach)
	if errors.Is(err, verify.ErrWrong) {
		return none, latchkey.Errorf(latchkey.Invalid, "these are no two consecutive codes of the token, up to %d presses ahead", Reach).
			WithHint("press the token twice and type both codes in their order; used codes do not count")
	}
	if err != nil {
		return none, fmt.Errorf("resyncing %s: %w", id, err)
	}
	return after, nil
}

func answer(code string) latchkey.Answer { return latchkey.Answer{Value: secret.Bytes(code)} }
