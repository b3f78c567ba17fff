package httpd

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"latchkey"
	"latchkey/internal/api"
	"latchkey/internal/ca"
)

// Logons decides the logons of one machine; the words are signed.
type Logons interface {
	BeginSigned(ctx context.Context, nonce string, l latchkey.Logon) (api.Turn, error)
	AnswerSigned(ctx context.Context, nonce string, l latchkey.Logon, a latchkey.Answer) (api.Turn, error)
}

// Agents is what the machines' API shows.
type Agents struct {
	// Who returns the machine with an identity key, by the SHA-256 of its
	// SubjectPublicKeyInfo; Unauthorized where there is none.
	Who func(ctx context.Context, spki []byte) (latchkey.MachineID, error)
	// Logons returns the authority for a machine.
	Logons func(latchkey.MachineID) Logons
	Fleet  AgentFleet
}

// AgentFleet keeps the machines, as they see it.
type AgentFleet interface {
	Join(ctx context.Context, identity []byte, in api.EnrollRequest) (api.EnrollResponse, error)
	Sync(ctx context.Context, m latchkey.MachineID, in api.SyncRequest) (api.SyncResponse, error)
	Bundle(ctx context.Context, m latchkey.MachineID, in api.BundleRequest) (api.BundleResponse, error)
	Health(nonce string) ([]byte, error)
}

// Agent is the machines' API. It belongs behind a listener that asks every
// machine for its certificate (ca.Authority.AgentServer): who a machine is, its
// key says, and nothing else.
func Agent(a Agents) http.Handler {
	r := routes{api.EnrollPath: a.joining()}
	handle(r, a, api.BeginPath, a.begin)
	handle(r, a, api.AnswerPath, a.answer)
	handle(r, a, api.SyncPath, a.sync)
	handle(r, a, api.BundlePath, newLanes().paced(a.Fleet.Bundle))
	handle(r, a, api.HealthPath, a.health)
	return guarded(jsonOnly(r))
}

// routes are addresses, each spelt in one way: a mux would redirect others, and
// no machine may follow a redirect.
type routes map[string]http.Handler

// ServeHTTP implements http.Handler.
func (t routes) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h, ok := t[r.URL.Path]
	switch {
	case !ok:
		writeProblem(w, plain(http.StatusNotFound, "no such address"))
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		writeProblem(w, plain(http.StatusMethodNotAllowed, "this address does not know that method"))
	default:
		note(r.Context(), "route", r.URL.Path)
		h.ServeHTTP(w, r)
	}
}

func (a Agents) begin(ctx context.Context, m latchkey.MachineID, in api.BeginRequest) (api.Turn, error) {
	if err := checkLogon(in.Nonce, in.Logon); err != nil {
		return api.Turn{}, err
	}
	note(ctx, "logon", in.Logon.ID)
	t, err := a.Logons(m).BeginSigned(ctx, in.Nonce, in.Logon)
	if err == nil && t.Prompt != nil {
		hush(ctx) // the line about the answer has this logon's id
	}
	return t, err
}

func (a Agents) answer(ctx context.Context, m latchkey.MachineID, in api.AnswerRequest) (api.Turn, error) {
	defer in.Value.Wipe()
	if err := checkLogon(in.Nonce, in.Logon); err != nil {
		return api.Turn{}, err
	}
	note(ctx, "logon", in.Logon.ID)
	// Whoever hangs up after sending an answer does not stop it: a guess that is
	// cut off in time would be free.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	defer cancel()
	return a.Logons(m).AnswerSigned(ctx, in.Nonce, in.Logon, latchkey.Answer{State: in.State, Value: in.Value.Bytes})
}

func (a Agents) sync(ctx context.Context, m latchkey.MachineID, in api.SyncRequest) (api.SyncResponse, error) {
	if err := checkNonce(in.Nonce); err != nil {
		return api.SyncResponse{}, err
	}
	return a.Fleet.Sync(ctx, m, in)
}

type healthAnswer struct {
	Health []byte `json:"health"`
}

func (a Agents) health(_ context.Context, _ latchkey.MachineID, in api.HealthRequest) (healthAnswer, error) {
	if err := checkNonce(in.Nonce); err != nil {
		return healthAnswer{}, err
	}
	h, err := a.Fleet.Health(in.Nonce)
	return healthAnswer{h}, err
}

// joining is the one route for a machine that is not known yet. Its key is
// proven by the handshake, its right to join by the token.
func (a Agents) joining() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		spki, err := identity(r)
		var in api.EnrollRequest
		if err == nil {
			err = read(w, r, &in, maxEnroll)
		}
		var out api.EnrollResponse
		if err == nil {
			out, err = a.Fleet.Join(r.Context(), spki, in)
		}
		write(w, r, out, err)
	})
}

// handle registers a route for machines that are known.
func handle[I, O any](t routes, a Agents, path string, do func(context.Context, latchkey.MachineID, I) (O, error)) {
	t[path] = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in I
		var out O
		m, err := a.machine(r)
		if err == nil {
			err = read(w, r, &in, api.MaxBody)
		}
		if err == nil {
			out, err = do(r.Context(), m, in)
		}
		write(w, r, out, err)
	})
}

func (a Agents) machine(r *http.Request) (latchkey.MachineID, error) {
	spki, err := identity(r)
	if err != nil {
		return "", err
	}
	m, err := a.Who(r.Context(), spki)
	note(r.Context(), "machine", m)
	if err == nil {
		introduce(r.Context(), "machine "+string(m))
	}
	return m, err
}

func identity(r *http.Request) ([]byte, error) {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return nil, latchkey.Errorf(latchkey.Unauthorized, "a machine shows its certificate")
	}
	return ca.Identity(r.TLS.PeerCertificates[0]), nil
}

// maxEnroll is the longest body of somebody who is not known yet, in bytes.
const maxEnroll = 4 << 10

// read reads a body strictly, within bounds of size and time.
func read(w http.ResponseWriter, r *http.Request, v any, most int64) error {
	// Where the writer knows no deadlines the server's own timeout holds.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTimeout))
	body, err := readBody(w, r, most)
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return plain(http.StatusRequestEntityTooLarge, "the body is too large")
	}
	if err != nil {
		return plain(http.StatusRequestTimeout, "the body came too slowly, or not whole")
	}
	defer clear(body)
	return api.Decode(body, v)
}

// firstRead is how much room a body gets before any of it came, in bytes: who
// only says that much follows must not be able to take it. A login fits.
const firstRead = 4 << 10

// readBody reads a body whole. Of one whose length is told there is no more.
func readBody(w http.ResponseWriter, r *http.Request, most int64) ([]byte, error) {
	if r.ContentLength < 0 || r.ContentLength > min(firstRead, most) {
		return io.ReadAll(http.MaxBytesReader(w, r.Body, most))
	}
	body := make([]byte, r.ContentLength)
	_, err := io.ReadFull(r.Body, body)
	return body, err
}

var typeJSON = []string{"application/json"}

func write(w http.ResponseWriter, r *http.Request, v any, err error) {
	if err == nil {
		var body []byte
		if body, err = json.Marshal(v); err == nil {
			w.Header()["Content-Type"] = typeJSON
			_, _ = w.Write(body) // the peer is gone: nobody is left to tell
			return
		}
	}
	p := problemOf(err)
	note(r.Context(), "code", p.Code)
	if p.Code == latchkey.Internal && p.cause != nil {
		note(r.Context(), "error", p.cause.Error())
	}
	writeProblem(w, p)
}
