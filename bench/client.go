//go:build linux

package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"latchkey"
	"latchkey/internal/api"
	"latchkey/internal/seal"
)

// A client is one machine's connection to the agent listener, kept alive. It
// writes HTTP/1.1 by hand: the machine's work should not take the processor
// from the server that is measured.
type client struct {
	conn *tls.Conn
	in   *bufio.Reader
	host string
}

func dial(addr string, identity tls.Certificate, ca []byte) (*client, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		return nil, errors.New("the CA file holds no certificate")
	}
	conn, err := tls.Dial("tcp", addr, &tls.Config{
		MinVersion: tls.VersionTLS13, RootCAs: pool, Certificates: []tls.Certificate{identity},
	})
	if err != nil {
		return nil, err
	}
	return &client{conn, bufio.NewReader(conn), addr}, nil
}

// post sends a body and decodes the answer, which must have status 200.
func (c *client) post(path string, body, answer any) error {
	doc, err := json.Marshal(body)
	if err != nil {
		return err
	}
	const head = "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
	if _, err := c.conn.Write(fmt.Appendf(nil, head, path, c.host, len(doc), doc)); err != nil {
		return err
	}
	status, got, err := c.answer()
	if err != nil {
		return err
	}
	if !strings.Contains(status, " 200 ") {
		return fmt.Errorf("%s: %s: %s", path, status, got)
	}
	return json.Unmarshal(got, answer)
}

// answer reads one answer, whose length must be known.
func (c *client) answer() (status string, body []byte, err error) {
	length := -1
	for first := true; ; first = false {
		line, err := c.in.ReadString('\n')
		if err != nil {
			return "", nil, err
		}
		line = strings.TrimSuffix(line, "\r\n")
		if line == "" {
			break
		}
		if first {
			status = line
		}
		if v, ok := strings.CutPrefix(line, "Content-Length: "); ok {
			if length, err = strconv.Atoi(v); err != nil {
				return "", nil, err
			}
		}
	}
	if length < 0 || length > api.MaxBody {
		return "", nil, fmt.Errorf("answer of unknown length: %s", status)
	}
	body = make([]byte, length)
	_, err = io.ReadFull(c.in, body)
	return status, body, err
}

// login is one verification: begin, and one answer, which must be right.
func (c *client) login(id, name, code string) error {
	l := latchkey.Logon{ID: id, Scenario: latchkey.Console, Service: "login", User: name}
	var t api.Turn
	if err := c.post(api.BeginPath, api.BeginRequest{Nonce: id, Logon: l}, &t); err != nil {
		return err
	}
	if t.Prompt == nil || t.Prompt.Kind != latchkey.AskSecret {
		return fmt.Errorf("login of %s: no prompt for a code, but %+v", name, t)
	}
	state := t.Prompt.State
	t = api.Turn{}
	err := c.post(api.AnswerPath, api.AnswerRequest{Nonce: id, Logon: l, State: state, Value: api.Secret([]byte(code))}, &t)
	if err != nil {
		return err
	}
	// Signatures are checked by the agent and by tests; here they would cost
	// the server its processor.
	var e seal.Envelope
	if err := json.Unmarshal(t.Verdict, &e); err != nil {
		return fmt.Errorf("login of %s: reading the verdict: %w", name, err)
	}
	if !bytes.Contains(e.Payload, []byte(`"outcome":"allow"`)) {
		return fmt.Errorf("login of %s: %s", name, e.Payload)
	}
	return nil
}
