package httpd

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"
	"net/http"
	"regexp"

	"latchkey"
	"latchkey/internal/seal"
	"latchkey/internal/secret"
)

// keyHeader carries what a client calls its command, so that sending it again
// after a lost answer carries it out no second time
// (draft-ietf-httpapi-idempotency-key-header-07).
const keyHeader = "Idempotency-Key"

// maxKey is the longest key, in bytes.
const maxKey = 255

// Requests remembers commands by their keys.
type Requests interface {
	// ClaimRequest notes that a command is under way, or returns what it was
	// answered before; status 0: carry it out. Errors: KeyReused, InProgress,
	// Interrupted.
	ClaimRequest(ctx context.Context, id, command []byte) (status int, answer secret.Bytes, err error)
	// AnswerRequest keeps the answer; it may hold secrets and is stored sealed.
	AnswerRequest(ctx context.Context, id []byte, status int, answer secret.Bytes) error
	// ReleaseRequest forgets a command that changed nothing.
	ReleaseRequest(ctx context.Context, id []byte) error
	// InterruptRequest says that a command will have no answer.
	InterruptRequest(ctx context.Context, id []byte) error
	// Watch returns a context for a command, and what tells whether anything was
	// written under it, or may have been.
	Watch(ctx context.Context) (watched context.Context, wrote func() bool)
}

var errKey = latchkey.Errorf(latchkey.Invalid, "the Idempotency-Key is not 1 to %d visible ASCII characters", maxKey)

// once carries a command that names itself out at most once. The claim is
// durable before anything happens, and the answer before it is sent: whoever
// asks again gets the same answer, or learns that none is known.
func once(known Requests, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		keys := r.Header.Values(keyHeader)
		if r.Method != http.MethodPost || len(keys) == 0 {
			next.ServeHTTP(w, r)
			return
		}
		id, command, err := named(r, keys)
		if err != nil {
			refuse(w, r, err)
			return
		}
		// From here on nobody who hangs up leaves a command half answered.
		ctx := context.WithoutCancel(r.Context())
		status, answer, err := known.ClaimRequest(ctx, id, command)
		if err != nil {
			refuse(w, r, err)
			return
		}
		if status != 0 {
			w.Header().Set("Idempotent-Replayed", "true")
			send(w, status, answer)
			return
		}
		out := &kept{header: w.Header()}
		watched, wrote := known.Watch(ctx)
		next.ServeHTTP(out, r.WithContext(watched))
		if err := settle(ctx, known, id, out, wrote()); err != nil {
			note(ctx, "repeat_error", err.Error()) // repeated, it will be called interrupted
		}
		w.WriteHeader(out.code())
		_, _ = w.Write(out.body.Bytes()) // the peer is gone: he will ask again
	})
}

// settle keeps what a command was answered. A refusal under which nothing was
// written may be otherwise next time. After an error of the server's, or half a
// command, nobody knows: it stays claimed, and whoever sends it again is told at
// once to look.
func settle(ctx context.Context, known Requests, id []byte, out *kept, wrote bool) error {
	switch status := out.code(); {
	case status < 300:
		return known.AnswerRequest(ctx, id, status, secret.Bytes(out.body.Bytes()))
	case !wrote && (status < 500 || status == http.StatusServiceUnavailable):
		return known.ReleaseRequest(ctx, id)
	}
	return known.InterruptRequest(ctx, id)
}

func send(w http.ResponseWriter, status int, answer secret.Bytes) {
	if len(answer) > 0 {
		w.Header().Set("Content-Type", "application/json")
	}
	w.WriteHeader(status)
	_, _ = w.Write(answer) // as above
}

func refuse(w http.ResponseWriter, r *http.Request, err error) {
	p := problemOf(err)
	late(r.Context(), err)
	note(r.Context(), "code", p.Code)
	unexplained(r.Context(), p)
	writeProblem(w, p)
}

// named reads the whole command and names it: by its sender's token and the key
// he chose, and by what it says.
func named(r *http.Request, keys []string) (id, command []byte, err error) {
	if len(keys) != 1 || !visible(keys[0]) {
		return nil, nil, errKey
	}
	body, err := io.ReadAll(r.Body) // it has arrived
	if err != nil {
		return nil, nil, err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	who := sha256.Sum256(seal.Info("latchkey/request/1", callerOf(r.Context()).token.ID, keys[0]))
	what := sha256.Sum256(seal.Info("latchkey/command/1", r.Method, r.URL.RequestURI(), string(body)))
	return who[:], what[:], nil
}

func visible(key string) bool {
	for i := range len(key) {
		if key[i] < '!' || key[i] > '~' {
			return false
		}
	}
	return key != "" && len(key) <= maxKey
}

// kept is an answer that is not sent yet.
type kept struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (k *kept) Header() http.Header { return k.header }

// Write implements http.ResponseWriter.
func (k *kept) Write(b []byte) (int, error) { return k.body.Write(b) }

// WriteHeader implements http.ResponseWriter.
func (k *kept) WriteHeader(status int) {
	if k.status == 0 {
		k.status = status
	}
}

func (k *kept) code() int {
	if k.status == 0 {
		return http.StatusOK
	}
	return k.status
}

// matched are the routes that take an If-Match.
var matched = map[string]bool{"POST /api/v1/policies": true, "DELETE /api/v1/policies/{policy}": true}

// tag is one strong entity tag (RFC 9110 section 8.8.3). What is none, or several
// or any, was changed by nobody: it is no conflict.
var tag = regexp.MustCompile(`^"[!#-~]+"$`)

// conditional refuses a condition that the route would not look at: whoever
// sends one must not find it ignored.
func conditional(mux *http.ServeMux, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, h := range []string{"If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since"} {
			_, route := mux.Handler(r)
			sent := r.Header.Values(h)
			if len(sent) == 0 {
				continue
			}
			if h != "If-Match" || !matched[route] {
				writeProblem(w, plain(http.StatusBadRequest, "this address takes no such condition: "+h))
				return
			}
			if len(sent) != 1 || !tag.MatchString(sent[0]) {
				writeProblem(w, plain(http.StatusBadRequest, "the If-Match is not exactly one ETag, in its quotation marks"))
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}
