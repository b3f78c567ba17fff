//go:build linux

package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"

	"latchkey/internal/api"
)

// A client is one machine's connection to the agent listener, kept alive. It
// writes HTTP/1.1 by hand: the machine's work should not take the processor
// from the server that is measured.
type client struct {
	conn *tls.Conn
	in   *bufio.Reader
	host string
	as   *tls.Config

	doc, out, got []byte // used again and again
}

func dial(addr string, identity tls.Certificate, ca []byte) (*client, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		return nil, errors.New("the CA file holds no certificate")
	}
	c := &client{host: addr, as: &tls.Config{
		MinVersion: tls.VersionTLS13, RootCAs: pool, Certificates: []tls.Certificate{identity},
	}}
	return c, c.again()
}

// again connects, also to a server that was started again.
func (c *client) again() (err error) {
	if c.conn != nil {
		_ = c.conn.Close() // the other end may be gone
	}
	if c.conn, err = tls.Dial("tcp", c.host, c.as); err == nil {
		c.in = bufio.NewReader(c.conn)
	}
	return err
}

// post sends a body and decodes the answer, however long it is.
func (c *client) post(path string, body, answer any) error {
	doc, err := json.Marshal(body)
	if err != nil {
		return err
	}
	if err := c.send(path, doc); err != nil {
		return err
	}
	r, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	got, err := io.ReadAll(r.Body)
	if err == nil && r.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", path, r.Status, got)
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(got, answer)
}

// ask sends a document and returns the answer's, which is good until the next
// question.
func (c *client) ask(path string, doc []byte) ([]byte, error) {
	if err := c.send(path, doc); err != nil {
		return nil, err
	}
	status, got, err := c.answer()
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("%s: %d: %s", path, status, got)
	}
	return got, err
}

func (c *client) send(path string, doc []byte) error {
	out := append(c.out[:0], "POST "...)
	out = append(out, path...)
	out = append(out, " HTTP/1.1\r\nHost: "...)
	out = append(out, c.host...)
	out = append(out, "\r\nContent-Type: application/json\r\nContent-Length: "...)
	out = strconv.AppendInt(out, int64(len(doc)), 10)
	out = append(out, "\r\n\r\n"...)
	c.out = append(out, doc...)
	_, err := c.conn.Write(c.out)
	return err
}

// answer reads one answer, whose length must be known.
func (c *client) answer() (status int, body []byte, err error) {
	line, err := c.line()
	if err != nil {
		return 0, nil, err
	}
	if len(line) < len("HTTP/1.1 200") {
		return 0, nil, fmt.Errorf("no answer but %q", line)
	}
	if status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return 0, nil, err
	}
	length := -1
	for len(line) > 0 {
		if v, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			if length, err = strconv.Atoi(string(v)); err != nil {
				return 0, nil, err
			}
		}
		if line, err = c.line(); err != nil {
			return 0, nil, err
		}
	}
	if length < 0 || length > api.MaxBody {
		return 0, nil, fmt.Errorf("answer of unknown length: %d", status)
	}
	c.got = slices.Grow(c.got[:0], length)[:length]
	_, err = io.ReadFull(c.in, c.got)
	return status, c.got, err
}

// line reads a line of the answer's head, without its end.
func (c *client) line() ([]byte, error) {
	line, err := c.in.ReadSlice('\n')
	return bytes.TrimSuffix(line, []byte("\r\n")), err
}

// about is what both questions of a login begin with. Ids and names have no
// letter that JSON would spell otherwise.
func (c *client) about(id string, u *user) []byte {
	const words = `{"nonce":"%s","logon":{"id":"%s","scenario":"console","service":"login","user":"%s","uid":%d}`
	return fmt.Appendf(c.doc[:0], words, id, id, u.name, u.uid)
}

// begin opens a logon and returns the state of the prompt for a code, spelt as
// it came. The client reads as little as it can: machines are many, and here
// they share two processors with the server that is measured.
func (c *client) begin(id string, u *user) (state string, err error) {
	c.doc = append(c.about(id, u), '}')
	got, err := c.ask(api.BeginPath, c.doc)
	if err != nil {
		return "", err
	}
	state = field(got, "state")
	if state == "" || field(got, "kind") != "secret" {
		return "", fmt.Errorf("login of %s: no prompt for a code, but %s", u.name, got)
	}
	return state, nil
}

// verify sends the answer, which must be right. Signatures are checked by the
// agent and by tests; here they would cost the server its processor.
func (c *client) verify(id string, u *user, state, code string) error {
	c.doc = fmt.Appendf(c.about(id, u), `,"state":"%s","value":"%s"}`, state, code)
	got, err := c.ask(api.AnswerPath, c.doc)
	if err != nil {
		return err
	}
	envelope, err := base64.StdEncoding.DecodeString(field(got, "verdict"))
	if err != nil {
		return fmt.Errorf("login of %s: reading the verdict: %w", u.name, err)
	}
	verdict, err := base64.StdEncoding.DecodeString(field(envelope, "payload"))
	if err != nil || !bytes.Contains(verdict, []byte(`"outcome":"allow"`)) {
		return fmt.Errorf("login of %s: %s %s %w", u.name, got, verdict, err)
	}
	return nil
}

// field is what stands between quotes behind a key; empty where there is none.
func field(doc []byte, key string) string {
	_, rest, _ := bytes.Cut(doc, []byte(`"`+key+`":"`))
	value, _, _ := bytes.Cut(rest, []byte(`"`))
	return string(value)
}
