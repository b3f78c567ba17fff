package online

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"latchkey/internal/api"
	"latchkey/internal/logon"
)

// Down reports whether the server failed a moment ago, so that the next person
// need not wait for it again.
func (c *Client) Down() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.Now().Before(c.until)
}

// Contact is when the server was last heard, zero for never, and what was wrong
// since, "" for nothing.
func (c *Client) Contact() (heard time.Time, wrong string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.heard, c.said
}

// failed remembers that the server could not be asked and returns an error that
// says so. Somebody who went away says nothing about the server, nor does a
// machine that slept.
func (c *Client) failed(err error) error {
	if errors.Is(err, logon.ErrCancelled) {
		return err
	}
	if !aboutQuestion(err) && !errors.Is(err, logon.ErrSlept) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.until, c.said = c.Now().Add(c.Budgets.Down), err.Error()
	}
	if errors.Is(err, logon.ErrUnreachable) {
		return err
	}
	return fmt.Errorf("%w: %w", logon.ErrUnreachable, err)
}

// aboutQuestion reports whether the server only refused the form of this one
// question. Whoever can make the machine ask such a question must not be able
// to take everybody on it offline.
func aboutQuestion(err error) bool {
	e, ok := errors.AsType[*StatusError](err)
	if !ok {
		return false
	}
	switch e.Status {
	case http.StatusBadRequest, http.StatusConflict, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType,
		http.StatusUnprocessableEntity:
		return true
	}
	return false
}

// Heard ends the memory of failures: the server's signed word came another way
// than by a logon, and the next person need not go offline.
func (c *Client) Heard() { c.reached() }

// reached forgets failures.
func (c *Client) reached() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.until, c.said, c.heard = time.Time{}, "", c.Now()
}

// probe asks in the background whether the server is back, one question at a
// time. It is triggered by logons, so that an idle machine sends nothing.
func (c *Client) probe(ctx context.Context) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.probing {
		return
	}
	c.probing = true
	c.probes.Go(func() {
		defer func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.probing = false
		}()
		// An error is remembered already; the next logon finds the server down.
		_ = c.Health(context.WithoutCancel(ctx))
	})
}

// Health asks whether the server can be asked, and takes over its signed time.
// A success ends the memory of failures.
func (c *Client) Health(ctx context.Context) error { return c.health(ctx, c.Budgets.Total) }

// Reach is Health with the patience of a sync: a line that is too slow for
// logons may still carry reports.
func (c *Client) Reach(ctx context.Context) error {
	if err := c.health(ctx, c.Budgets.Sync); err != nil {
		return c.unheard(err)
	}
	return nil
}

func (c *Client) health(ctx context.Context, budget time.Duration) error {
	q, err := c.Memory.Inquire(budget)
	if err != nil {
		return fmt.Errorf("asking for health: %w", err)
	}
	body, err := json.Marshal(api.HealthRequest{Nonce: q.Nonce})
	if err != nil {
		return fmt.Errorf("asking for health: %w", err)
	}
	var answer struct {
		Health []byte `json:"health"`
	}
	if err := c.exchange(ctx, api.HealthPath, body, &answer, limits{budget, api.MaxBody}); err != nil {
		return fmt.Errorf("asking for health: %w", err)
	}
	if err := c.Memory.Contact(answer.Health, q); err != nil {
		if isForged(err) {
			c.Alarm("bad_health", err)
		}
		return fmt.Errorf("asking for health: %w", err)
	}
	c.reached()
	return nil
}

// Sync exchanges a report for news. The nonce in the request is the caller's:
// he verifies the answer with it.
func (c *Client) Sync(ctx context.Context, q api.SyncRequest) (api.SyncResponse, error) {
	var a api.SyncResponse
	err := c.quietly(ctx, api.SyncPath, q, &a, api.MaxBody)
	return a, err
}

// Bundle fetches a user's header and chunks.
func (c *Client) Bundle(ctx context.Context, q api.BundleRequest) (api.BundleResponse, error) {
	var a api.BundleResponse
	err := c.quietly(ctx, api.BundlePath, q, &a, maxBundle)
	return a, err
}

// Enroll joins the machine. Errors: StatusError where the server refused, ErrPin
// where it is not the right one.
func (c *Client) Enroll(ctx context.Context, q api.EnrollRequest) (api.EnrollResponse, error) {
	var a api.EnrollResponse
	err := c.quietly(ctx, api.EnrollPath, q, &a, api.MaxBody)
	return a, err
}

// maxBundle is above what the widest bundle needs: 90 days of two 8-digit
// codebooks, in base64 within JSON.
const maxBundle = 8 << 20

// quietly is an exchange that nobody waits for. Its failure opens no memory of
// failures: a sync that is refused says nothing about logons.
func (c *Client) quietly(ctx context.Context, path string, q, a any, most int64) error {
	body, err := json.Marshal(q)
	if err != nil {
		return fmt.Errorf("asking the server: %w", err)
	}
	if err := c.exchange(ctx, path, body, a, limits{c.Budgets.Sync, most}); err != nil {
		return c.unheard(err)
	}
	return nil
}

// unheard notes for the status why nobody answered.
func (c *Client) unheard(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.said = err.Error()
	return fmt.Errorf("%w: %w", logon.ErrUnreachable, err)
}
