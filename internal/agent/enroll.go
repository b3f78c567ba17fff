package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"latchkey"
	"latchkey/internal/agent/boxfile"
	"latchkey/internal/agent/keystore"
	"latchkey/internal/agent/online"
	"latchkey/internal/api"
	"latchkey/internal/vault"
)

// A Join says how to enroll a machine.
type Join struct {
	Token string // the text that `machine token create` printed
	State string
	Name  string
	Clock func() vault.Reading // nil means the system's
}

// Joined is what came of it.
type Joined struct {
	Machine string `json:"machine"`
	Server  string `json:"server"`
	Pending bool   `json:"pending"` // an administrator must approve of the machine
}

// Enroll joins this machine to the server of the token. The server proves that
// it is the token's before the token's secret leaves the machine. What an
// attempt that failed left behind is used or cleared away by the next one; the
// same keys are the same machine to the server, so that an answer that got lost
// costs no second use of the token.
//
// Errors: latchkey.Error with a next step; ErrServer.
func Enroll(ctx context.Context, j Join) (Joined, error) {
	token, err := api.ParseToken(j.Token)
	if err != nil {
		return Joined{}, err
	}
	if err := latchkey.CheckName(j.Name); err != nil {
		return Joined{}, latchkey.Errorf(latchkey.Invalid, "this machine cannot be called that: %s", err).WithHint("choose another name with --name")
	}
	if err := begin(j.State); err != nil {
		return Joined{}, err
	}
	keys, err := keysOf(j.State)
	if err != nil {
		return Joined{}, err
	}
	resp, err := join(ctx, token, j.Name, keys)
	if err != nil {
		return Joined{}, err
	}
	if err := settle(j, token, keys, resp); err != nil {
		return Joined{}, err
	}
	return Joined{Machine: resp.Name, Server: first(token.URLs), Pending: resp.Pending}, nil
}

// begin prepares the state directory and marks it as half a machine.
func begin(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("preparing the state directory: %w", err)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return fmt.Errorf("preparing the state directory: %w", err)
	}
	path := filepath.Join(dir, marker)
	if _, err := os.Lstat(path); err == nil {
		return nil // an earlier attempt failed
	}
	if _, err := os.Lstat(filepath.Join(dir, "identity.json")); !errors.Is(err, fs.ErrNotExist) {
		return latchkey.Errorf(latchkey.Conflict, "this machine is enrolled already").
			WithHint("to enroll it anew, stop the agent and remove %s", dir)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("preparing the state directory: %w", err)
	}
	return errors.Join(f.Sync(), f.Close())
}

// keysOf are the keys of an earlier attempt, or new ones.
func keysOf(dir string) (*keystore.Keys, error) {
	path := boxfile.KeysDir(dir)
	if keys, err := keystore.Open(path); err == nil {
		return keys, nil
	}
	if err := os.RemoveAll(path); err != nil { // half of a pair
		return nil, fmt.Errorf("making keys: %w", err)
	}
	return keystore.Create(path)
}

// enrollTime is how long the server may take.
const enrollTime = 30 * time.Second

func join(ctx context.Context, t api.EnrollToken, name string, keys *keystore.Keys) (api.EnrollResponse, error) {
	pin, err := online.ParsePin(t.Pin)
	if err != nil {
		return api.EnrollResponse{}, err
	}
	identity := keys.Identity()
	c := online.New(online.Config{
		URLs: t.URLs, Pins: []online.Pin{pin}, Identity: &identity,
		// Nothing is proven about the time yet, so no certificate has ended.
		Floor: func() time.Time { return time.Time{} },
		Alarm: func(string, error) {}, Now: time.Now, Budgets: online.Budgets{Sync: enrollTime},
	})
	defer c.Close()
	resp, err := c.Enroll(ctx, api.EnrollRequest{
		Secret: t.Secret, Name: name, OS: systemName(), AgentVersion: Version, KeyClass: keys.Class(),
		SealingKey: keys.Sealing().PublicKey().Bytes(),
	})
	return resp, wordJoin(err, t)
}

// wordJoin says what a person can do about a token that was refused.
func wordJoin(err error, t api.EnrollToken) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, online.ErrPin) {
		return latchkey.Errorf(latchkey.Forbidden, "whoever answers at %s is not the server of this token", first(t.URLs)).
			WithHint("nothing was sent; is the token of this server, and does something stand in between?")
	}
	refused, ok := errors.AsType[*online.StatusError](err)
	if !ok {
		return fmt.Errorf("%w: %w", ErrServer, err)
	}
	const again = "ask for a new one: latchkey machine token create"
	switch refused.Problem.Code {
	case latchkey.Expired:
		return latchkey.Errorf(latchkey.Forbidden, "the token has expired").WithHint(again)
	case latchkey.Exhausted:
		return latchkey.Errorf(latchkey.Forbidden, "the token is used up").WithHint(again)
	case latchkey.Unauthorized, latchkey.Forbidden:
		return latchkey.Errorf(latchkey.Forbidden, "the server does not know this token").WithHint(again)
	case latchkey.Invalid, latchkey.Conflict:
		return latchkey.Errorf(refused.Problem.Code, "%s", refused.Problem.Title).WithHint("%s", refused.Problem.Hint)
	}
	return fmt.Errorf("%w: %w", ErrServer, err)
}

// settle writes the machine down. The marker goes last: until then the state is
// half of a machine, and run refuses it.
func settle(j Join, t api.EnrollToken, keys *keystore.Keys, resp api.EnrollResponse) error {
	if err := clearAway(j.State); err != nil {
		return err
	}
	who := boxfile.Identity{Deployment: resp.Deployment, Machine: resp.Machine, Name: resp.Name, URLs: t.URLs, Pins: []string{t.Pin}}
	box, err := boxfile.Create(j.State, who)
	if err != nil {
		return err
	}
	if j.Clock == nil {
		j.Clock = systemClock(slog.Default())
	}
	a := &Agent{clock: j.Clock, who: who, box: box}
	v, err := vault.Create(a.vaultConfig(keys), resp.Keys, resp.Settings)
	if err != nil {
		return errors.Join(err, box.Close())
	}
	if err := errors.Join(v.Close(), box.Close()); err != nil {
		return fmt.Errorf("writing the machine down: %w", err)
	}
	if err := os.Remove(filepath.Join(j.State, marker)); err != nil {
		return fmt.Errorf("writing the machine down: %w", err)
	}
	return nil
}

// clearAway removes what an earlier attempt wrote, but not the keys.
func clearAway(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("clearing away an earlier attempt: %w", err)
	}
	for _, e := range entries {
		if e.Name() == marker || filepath.Join(dir, e.Name()) == filepath.Clean(boxfile.KeysDir(dir)) {
			continue
		}
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return fmt.Errorf("clearing away an earlier attempt: %w", err)
		}
	}
	return nil
}
