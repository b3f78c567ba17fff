package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"

	"latchkey"
	"latchkey/internal/apiclient"
)

// maxFile bounds what is read of files that hold tokens, keys and policies.
const maxFile = 1 << 20

// client asks the server that flags or environment name.
func (p *program) client() (*apiclient.Client, error) {
	server := orEnv(p.server, "LATCHKEY_SERVER")
	if server == "" {
		return nil, &usageError{"no server is named", "set LATCHKEY_SERVER or give --server"}
	}
	token, err := p.token()
	if err != nil {
		return nil, err
	}
	var ca []byte
	if path := orEnv(p.caFile, "LATCHKEY_CA"); path != "" {
		if ca, err = p.read(path); err != nil {
			return nil, fmt.Errorf("reading the CA: %w", err)
		}
	}
	return apiclient.New(server, token, ca, now)
}

func (p *program) token() (string, error) {
	if p.tokenFile == "" {
		if t := strings.TrimSpace(os.Getenv("LATCHKEY_TOKEN")); t != "" {
			return t, nil
		}
		return "", &usageError{"no token is given", "set LATCHKEY_TOKEN or give --token-file"}
	}
	raw, err := p.read(p.tokenFile)
	if err != nil {
		return "", fmt.Errorf("reading the token: %w", err)
	}
	return strings.TrimSpace(string(raw)), nil
}

func orEnv(flag, name string) string {
	if flag != "" {
		return flag
	}
	return os.Getenv(name)
}

// read reads a small file; "-" is standard input.
func (p *program) read(path string) ([]byte, error) {
	in := p.in
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	raw, err := io.ReadAll(io.LimitReader(in, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(raw) > maxFile {
		return nil, latchkey.Errorf(latchkey.Invalid, "%s is larger than %d bytes", path, maxFile)
	}
	return raw, nil
}

// names is what the nouns of a request are called, so that "no such user" can
// name him: the server repeats nothing that it was sent.
type names map[string]string

func (p *program) get(ctx context.Context, path string, out any, n names) error {
	return p.do(ctx, http.MethodGet, path, nil, out, n)
}

func (p *program) post(ctx context.Context, path string, in, out any, n names) error {
	return p.do(ctx, http.MethodPost, path, in, out, n)
}

func (p *program) delete(ctx context.Context, path string, n names) error {
	return p.do(ctx, http.MethodDelete, path, nil, nil, n)
}

func (p *program) do(ctx context.Context, method, path string, in, out any, n names) error {
	_, err := p.send(ctx, apiclient.Request{Method: method, Path: path, In: in, Out: out}, n)
	return err
}

// send names every POST: what is sent again because the answer got lost is not
// carried out again.
func (p *program) send(ctx context.Context, r apiclient.Request, n names) (http.Header, error) {
	c, err := p.client()
	if err != nil {
		return nil, err
	}
	if r.Method == http.MethodPost {
		r.Key = p.nextKey()
	}
	header, err := c.Send(ctx, r)
	return header, named(err, n)
}

// nextKey is the key of the next POST of this command: --idempotency-key, so that
// a script can repeat the whole command, or a random one.
func (p *program) nextKey() string {
	if p.key == "" {
		p.key = rand.Text()
	}
	p.posts++
	return p.key + "-" + strconv.Itoa(p.posts)
}

// all reads a list to its end.
func all[T any](ctx context.Context, p *program, path string, n names) ([]T, error) {
	c, err := p.client()
	if err != nil {
		return nil, err
	}
	rows, err := apiclient.All[T](ctx, c, path)
	return rows, named(err, n)
}

// named says which user or machine it is that does not exist.
func named(err error, n names) error {
	e, ok := errors.AsType[*latchkey.Error](err)
	if !ok || e.Code != latchkey.NotFound {
		return err
	}
	for noun, name := range n {
		if e.Message == "no such "+noun {
			c := *e
			c.Message = fmt.Sprintf("no %s named %q", noun, name)
			return &c
		}
	}
	return err
}
