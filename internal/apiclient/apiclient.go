// Package apiclient speaks the administrator's API over HTTPS.
//
// It refuses plain HTTP, redirects (they would carry the token elsewhere) and
// servers that the given CA did not sign for.
package apiclient

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"latchkey"
	"latchkey/internal/api"
)

// Limits of one request.
const (
	timeout   = 30 * time.Second
	maxAnswer = 64 << 20 // bytes
)

// ErrUnreachable says that no answer of the server came: not connected, timed
// out, another certificate, or something that is no answer of ours.
var ErrUnreachable = errors.New("the server cannot be reached")

// A Client asks one server. Make it with New.
type Client struct {
	base  *url.URL
	token string
	http  *http.Client
}

// New returns a client of the server at an https address. ca is the PEM file
// of the server's CA; without it the system's CAs are believed. Certificates are
// judged by now.
func New(server, token string, ca []byte, now func() time.Time) (*Client, error) {
	base, err := url.Parse(server)
	if err != nil || base.Host == "" || base.User != nil {
		return nil, latchkey.Errorf(latchkey.Invalid, "the server's address is not a URL").WithHint("for example https://latchkey.example:8443")
	}
	if base.Scheme != "https" {
		return nil, latchkey.Errorf(latchkey.Invalid, "the server's address must begin with https://")
	}
	conf := &tls.Config{MinVersion: tls.VersionTLS12, Time: now}
	if ca != nil {
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(ca) {
			return nil, latchkey.Errorf(latchkey.Invalid, "the CA file holds no certificate")
		}
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = conf
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Client{base, token, &http.Client{Transport: transport, Timeout: timeout, CheckRedirect: stay}}, nil
}

// Path joins the segments of an address below /api/v1, whatever is in them: a
// slash or two dots in a name stay in the name.
func Path(segments ...string) string {
	var b strings.Builder
	b.WriteString("/api/v1")
	for _, s := range segments {
		s = url.PathEscape(s)
		if s == "." || s == ".." {
			s = strings.ReplaceAll(s, ".", "%2E")
		}
		b.WriteString("/" + s)
	}
	return b.String()
}

// A Request is one command or question. In is sent as JSON, nothing where it is
// nil; the answer is read into Out, not at all where it is nil.
type Request struct {
	Method, Path string
	In, Out      any
	// Key names a command, so that it can be sent again when its answer got lost:
	// the server carries it out once. Without one it is sent once.
	Key string
	// IfMatch is the tag of what the command is about, as it was read.
	IfMatch string
}

// Do is Send for a request without conditions.
func (c *Client) Do(ctx context.Context, method, path string, in, out any) error {
	_, err := c.Send(ctx, Request{Method: method, Path: path, In: in, Out: out})
	return err
}

// patience is how long a command whose answer got lost is asked for while the
// server still works on it, in steps of pause.
const (
	patience = 50
	pause    = 200 * time.Millisecond
)

// Send sends a request and returns the headers of the answer. A refusal comes
// back as a latchkey.Error with the server's code, no answer as ErrUnreachable.
func (c *Client) Send(ctx context.Context, r Request) (http.Header, error) {
	header, err := c.send(ctx, r)
	lost := false
	for range patience {
		switch {
		case r.Key == "":
			return header, err
		case errors.Is(err, ErrUnreachable) && !lost:
			lost = true // perhaps only the answer is
		case latchkey.CodeOf(err) == latchkey.InProgress && wait(ctx):
		default:
			return header, err
		}
		header, err = c.send(ctx, r)
	}
	return header, err
}

// wait reports whether the pause is over, and not the time for it all.
func wait(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(pause):
		return true
	}
}

func (c *Client) send(ctx context.Context, r Request) (http.Header, error) {
	req, err := c.request(ctx, r)
	if err != nil {
		return nil, err
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, unreachable(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return nil, unreachable(err)
	}
	if res.StatusCode >= 300 {
		return nil, refusal(res.StatusCode, body)
	}
	if r.Out == nil {
		return res.Header, nil
	}
	if err := json.Unmarshal(body, r.Out); err != nil { // not strict: a newer server may say more
		return nil, unreachable(errors.New("what it answered is not understood"))
	}
	return res.Header, nil
}

// pageSize is how many rows of a list are asked for at once.
const pageSize = 1000

// maxPages bounds how long a server can keep a client reading.
const maxPages = 100_000

// All reads a whole list, page by page. path may have parameters.
func All[T any](ctx context.Context, c *Client, path string) ([]T, error) {
	all, base := []T{}, path
	join := "?"
	if i := strings.IndexByte(path, '?'); i >= 0 {
		base, join = path[:i], "&"
	}
	path += fmt.Sprintf("%slimit=%d", join, pageSize)
	for range maxPages {
		var page []T
		header, err := c.Send(ctx, Request{Method: http.MethodGet, Path: path, Out: &page})
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		next, more := nextPage(header)
		if !more {
			return all, nil
		}
		path = base + next
	}
	return nil, unreachable(errors.New("its list has no end"))
}

// nextPage is the query of the next page, from the Link header (RFC 8288).
func nextPage(h http.Header) (query string, more bool) {
	address, rel, ok := strings.Cut(strings.TrimPrefix(h.Get("Link"), "<"), ">")
	return address, ok && strings.Contains(rel, `rel="next"`) && strings.HasPrefix(address, "?")
}

func (c *Client) request(ctx context.Context, r Request) (*http.Request, error) {
	var body io.Reader
	if r.In != nil {
		raw, err := json.Marshal(r.In)
		if err != nil {
			return nil, fmt.Errorf("writing the request: %w", err)
		}
		body = bytes.NewReader(raw)
	}
	address, err := c.base.Parse(r.Path)
	if err != nil {
		return nil, fmt.Errorf("writing the address: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, address.String(), body)
	if err != nil {
		return nil, fmt.Errorf("writing the request: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	if r.In != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for name, value := range map[string]string{"Idempotency-Key": r.Key, "If-Match": r.IfMatch} {
		if value != "" {
			req.Header.Set(name, value)
		}
	}
	return req, nil
}

// unreachable strips the address from net/http's error: it is ours, and long.
func unreachable(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err
	}
	return fmt.Errorf("%w: %w", ErrUnreachable, err)
}

func refusal(status int, body []byte) error {
	var p api.Problem
	if json.Unmarshal(body, &p) != nil || p.Code == "" {
		return unreachable(fmt.Errorf("something that is not Latchkey answered with status %d", status))
	}
	message := p.Detail
	if message == "" {
		message = p.Title
	}
	return &latchkey.Error{Code: p.Code, Message: message, Hint: p.Hint}
}
