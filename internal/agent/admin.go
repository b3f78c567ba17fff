package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"latchkey"
	"latchkey/internal/agent/ipc"
	"latchkey/internal/api"
	"latchkey/internal/logon"
)

// The routes of the admin socket: HTTP with JSON, for root alone.
const (
	statusPath  = "/v1/status"
	syncPath    = "/v1/sync"
	offlinePath = "/v1/offline"
)

// syncTime is how long a sync on demand may take.
const syncTime = 2 * time.Minute

func (a *Agent) serveAdmin(ctx context.Context, l net.Listener) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+statusPath, func(w http.ResponseWriter, _ *http.Request) { answer(w, a.Status(), nil) })
	mux.HandleFunc("POST "+syncPath, func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), syncTime)
		defer cancel()
		err := a.syncer.Sync(ctx)
		answer(w, a.Status(), err)
	})
	mux.HandleFunc("GET "+offlinePath, func(w http.ResponseWriter, r *http.Request) {
		u, err := a.Offline(r.URL.Query().Get("user"))
		answer(w, u, err)
	})
	s := &http.Server{
		Handler: rootOnly(mux), ReadTimeout: 10 * time.Second, WriteTimeout: syncTime + 10*time.Second, MaxHeaderBytes: 16 << 10,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, callerKey{}, c) },
	}
	stop := context.AfterFunc(ctx, func() { _ = s.Close() })
	defer stop()
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving the admin socket: %w", err)
	}
	return nil
}

type callerKey struct{}

// rootOnly asks the kernel who calls: the mode of a socket is easily changed.
func rootOnly(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, ok := r.Context().Value(callerKey{}).(net.Conn)
		if !ok || !ipc.Privileged(conn) {
			answer(w, nil, latchkey.Errorf(latchkey.Forbidden, "only root may ask the agent"))
			return
		}
		h.ServeHTTP(w, r)
	})
}

func answer(w http.ResponseWriter, v any, err error) {
	status := http.StatusOK
	if err != nil {
		p := problemOf(err)
		v, status = p, p.Status
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // a caller who went away wants no answer
}

// problemOf words an error for root, who may know all of it.
func problemOf(err error) api.Problem {
	if e, ok := errors.AsType[*latchkey.Error](err); ok {
		status := map[latchkey.Code]int{latchkey.NotFound: http.StatusNotFound, latchkey.Forbidden: http.StatusForbidden}[e.Code]
		if status == 0 {
			status = http.StatusInternalServerError
		}
		return api.Problem{Status: status, Code: e.Code, Title: e.Message, Hint: e.Hint}
	}
	if errors.Is(err, logon.ErrUnreachable) {
		return api.Problem{Status: http.StatusBadGateway, Code: latchkey.Busy, Title: err.Error()}
	}
	return api.Problem{Status: http.StatusInternalServerError, Code: latchkey.Internal, Title: err.Error()}
}

// ErrNotRunning: no agent answers on the admin socket.
var ErrNotRunning = errors.New("the agent does not answer")

// ErrServer: the agent runs and cannot reach the server.
var ErrServer = errors.New("the server cannot be reached")

// An Admin asks a running agent over its admin socket.
type Admin struct{ http http.Client }

// NewAdmin returns a client for the admin socket at path.
func NewAdmin(path string) *Admin {
	return &Admin{http.Client{Timeout: syncTime + 5*time.Second, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", path)
		},
		DisableKeepAlives: true,
	}}}
}

// Status asks how the agent is. Errors: ErrNotRunning, latchkey.Error.
func (c *Admin) Status(ctx context.Context) (s Status, err error) {
	err = c.ask(ctx, http.MethodGet, statusPath, &s)
	return s, err
}

// Sync makes the agent sync now. Errors: ErrNotRunning, ErrServer,
// latchkey.Error.
func (c *Admin) Sync(ctx context.Context) (s Status, err error) {
	err = c.ask(ctx, http.MethodPost, syncPath, &s)
	return s, err
}

// Offline asks what a user could do without the server.
func (c *Admin) Offline(ctx context.Context, user string) (u User, err error) {
	err = c.ask(ctx, http.MethodGet, offlinePath+"?"+url.Values{"user": {user}}.Encode(), &u)
	return u, err
}

func (c *Admin) ask(ctx context.Context, method, path string, out any) error {
	req, err := http.NewRequestWithContext(ctx, method, "http://agent"+path, nil)
	if err != nil {
		return fmt.Errorf("asking the agent: %w", err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotRunning, plain(err))
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, api.MaxBody))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotRunning, err)
	}
	if resp.StatusCode != http.StatusOK {
		return refusal(raw)
	}
	if err := json.Unmarshal(raw, out); err != nil {
		return fmt.Errorf("reading the agent's answer: %w", err)
	}
	return nil
}

// plain strips the address that net/http puts around an error: there is none.
func plain(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}

func refusal(raw []byte) error {
	var p api.Problem
	if err := json.Unmarshal(raw, &p); err != nil {
		return fmt.Errorf("reading the agent's answer: %w", err)
	}
	if p.Status == http.StatusBadGateway {
		return fmt.Errorf("%w: %s", ErrServer, p.Title)
	}
	return latchkey.Errorf(p.Code, "%s", p.Title).WithHint("%s", p.Hint)
}
