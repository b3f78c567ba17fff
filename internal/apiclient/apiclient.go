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

// Do sends in as JSON (nothing where it is nil) and reads the answer into out
// (not at all where it is nil). A refusal comes back as a latchkey.Error with
// the server's code, no answer as ErrUnreachable.
func (c *Client) Do(ctx context.Context, method, path string, in, out any) error {
	req, err := c.request(ctx, method, path, in)
	if err != nil {
		return err
	}
	res, err := c.http.Do(req)
	if err != nil {
		return unreachable(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return unreachable(err)
	}
	if res.StatusCode >= 300 {
		return refusal(res.StatusCode, body)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(body, out); err != nil { // not strict: a newer server may say more
		return unreachable(errors.New("what it answered is not understood"))
	}
	return nil
}

func (c *Client) request(ctx context.Context, method, path string, in any) (*http.Request, error) {
	var body io.Reader
	if in != nil {
		raw, err := json.Marshal(in)
		if err != nil {
			return nil, fmt.Errorf("writing the request: %w", err)
		}
		body = bytes.NewReader(raw)
	}
	address, err := c.base.Parse(path)
	if err != nil {
		return nil, fmt.Errorf("writing the address: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, method, address.String(), body)
	if err != nil {
		return nil, fmt.Errorf("writing the request: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
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
