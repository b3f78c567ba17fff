package httpd_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"testing"
	"time"

	"latchkey/internal/api"
)

// dial is a connection of HTTP/1.1 with somebody's key.
func (d *deployment) dial(c *http.Client) (*tls.Conn, *bufio.Reader) {
	d.Helper()
	u, err := url.Parse(d.url)
	ok(d, err)
	config := c.Transport.(*http.Transport).TLSClientConfig.Clone()
	config.ServerName, config.NextProtos = u.Hostname(), nil
	conn, err := (&tls.Dialer{Config: config}).DialContext(d.Context(), "tcp", u.Host)
	ok(d, err)
	d.Cleanup(func() { _ = conn.Close() }) // the server has closed it
	ok(d, conn.SetDeadline(time.Now().Add(time.Minute)))
	return conn.(*tls.Conn), bufio.NewReader(conn)
}

func TestAStrangersConnectionEndsWithHisRefusal(t *testing.T) {
	t.Parallel()
	d := deploy(t)
	for name, request := range map[string]string{
		"a machine that is not known": "POST " + api.HealthPath,
		"a token that is none":        "POST " + api.EnrollPath,
		"no such address":             "POST /",
		"no such method":              "GET " + api.HealthPath,
	} {
		conn, answers := d.dial(d.machine())
		fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}", request)
		res, err := http.ReadResponse(answers, nil)
		ok(t, err)
		if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode < 400 {
			t.Errorf("%s: %d, %v", name, res.StatusCode, err)
		}
		res.Body.Close()
		if _, err := answers.ReadByte(); err != io.EOF {
			t.Errorf("%s: the connection stays: %v", name, err)
		}
	}
}

// kept reports whether a client's second request goes over its first connection.
func (d *deployment) kept(c *http.Client) (kept bool, proto string) {
	d.Helper()
	for range 2 {
		trace := &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) { kept = i.Reused }}
		r, err := http.NewRequestWithContext(httptrace.WithClientTrace(d.Context(), trace), "POST", d.url+api.HealthPath,
			strings.NewReader(`{"nonce":"AAAAAAAAAAAAAAAAAAAAAA"}`))
		ok(d, err)
		r.Header.Set("Content-Type", "application/json")
		res, err := c.Do(r)
		ok(d, err)
		_, err = io.Copy(io.Discard, res.Body)
		ok(d, err)
		res.Body.Close()
		proto = res.Proto
	}
	return kept, proto
}

func TestAMachinesConnectionStaysAndAStrangersDoesNot(t *testing.T) {
	t.Parallel()
	d := deploy(t)
	for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
		stranger, machine := d.machine(), d.machine()
		for _, c := range []*http.Client{stranger, machine} {
			c.Transport.(*http.Transport).ForceAttemptHTTP2 = proto == "HTTP/2.0"
		}
		d.enroll(machine, "pc-"+proto[5:6])
		if kept, spoken := d.kept(stranger); kept || spoken != proto {
			t.Errorf("a stranger's connection of %s, %s: kept %v", proto, spoken, kept)
		}
		if kept, spoken := d.kept(machine); !kept || spoken != proto {
			t.Errorf("a machine's connection of %s, %s: kept %v", proto, spoken, kept)
		}
	}
}

func TestAStrangerSendsALittleOnly(t *testing.T) {
	t.Parallel()
	d := deploy(t)
	long := append([]byte(`{"name":"`), bytes.Repeat([]byte("x"), 5000)...)
	var p api.Problem
	if status := d.post(d.machine(), api.EnrollPath, append(long, `"}`...), &p); status != http.StatusRequestEntityTooLarge {
		t.Errorf("five kilobytes: %d %+v", status, p)
	}
}
