package online

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"strings"
	"time"

	"latchkey/internal/api"
	"latchkey/internal/logon"
)

// A StatusError is an answer that is not the one that was asked for. Nothing
// about the user follows from it, whatever its number: it is not signed.
type StatusError struct {
	Status  int
	Problem api.Problem // where the body was one
}

// Error names the status and, where the server gave one, its reason.
func (e *StatusError) Error() string {
	if e.Problem.Title != "" {
		return fmt.Sprintf("the server answered %d: %q", e.Status, e.Problem.Title)
	}
	return fmt.Sprintf("the server answered %d", e.Status)
}

// limits bound one exchange.
type limits struct {
	time time.Duration // over all URLs
	size int64         // of the answer
}

// exchange posts body to the first server that answers and decodes its answer
// into a. An exchange that has begun is finished within its time even if the
// person goes away meanwhile: what the server said must be written down.
func (c *Client) exchange(ctx context.Context, path string, body []byte, a any, lim limits) error {
	if ctx.Err() != nil {
		return logon.ErrCancelled
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lim.time)
	defer cancel()
	var all []error
	for _, base := range c.URLs {
		err := c.post(ctx, strings.TrimSuffix(base, "/")+path, body, a, lim.size)
		if err == nil {
			return nil
		}
		if errors.Is(err, ErrPin) {
			c.Alarm("pin_failure", err)
		}
		all = append(all, err)
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(all...)
}

func (c *Client) post(ctx context.Context, url string, body []byte, a any, most int64) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("asking: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	// All exchanges may be repeated. Saying so lets the transport try again when
	// the server closed an idle connection just now.
	req.Header["Idempotency-Key"] = []string{}
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, most+1))
	if err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return statusError(resp, raw)
	}
	if int64(len(raw)) > most {
		return fmt.Errorf("the answer is larger than %d bytes", most)
	}
	if kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return fmt.Errorf("the answer is %q instead of JSON", resp.Header.Get("Content-Type"))
	}
	if err := json.Unmarshal(raw, a); err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	return nil
}

func statusError(resp *http.Response, raw []byte) error {
	e := &StatusError{Status: resp.StatusCode}
	if json.Unmarshal(raw, &e.Problem) != nil {
		e.Problem = api.Problem{} // a page of somebody else's
	}
	return e
}

func transport(c Config) *http.Transport {
	return &http.Transport{
		Proxy:               nil, // nobody's environment may lead the way
		DialTLSContext:      c.dial,
		DialContext:         noPlaintext,
		DisableCompression:  true,
		MaxIdleConnsPerHost: 2,
		// A pulled cable is noticed by a new connection at once, by an old one
		// only when the budget is over: a login waits for nothing it can avoid.
		IdleConnTimeout:        2 * time.Second,
		MaxResponseHeaderBytes: 32 << 10,
	}
}

func noPlaintext(context.Context, string, string) (net.Conn, error) {
	return nil, errors.New("the URL of a server begins with https")
}

// dialer leaves FallbackDelay alone: an address that swallows packets is
// overtaken by another one of the same name after 300 ms (RFC 8305).
func dialer(c Config) *net.Dialer { return &net.Dialer{Timeout: c.Budgets.Connect} }

// dial connects and shakes hands, each within the connect budget.
func (c Config) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	raw, err := dialer(c).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.Budgets.Connect)
	defer cancel()
	conn := tls.Client(raw, c.tls(host))
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		return nil, fmt.Errorf("securing the connection: %w", err)
	}
	return conn, nil
}
