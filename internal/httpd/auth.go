package httpd

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"time"

	"latchkey"
	"latchkey/internal/seal"
	"latchkey/internal/store"
)

// TokenPrefix begins every administrator's token, so that scanners for leaked
// secrets find it and nobody takes another token for one.
const TokenPrefix = "lka_"

// maxToken bounds the work on a header that cannot be a token, in bytes.
const maxToken = 256

// Doorman knows administrators by the hash of their token.
type Doorman interface {
	// AdminByToken returns NotFound where nobody has the token.
	AdminByToken(ctx context.Context, hash []byte) (name, role string, err error)
	// Record writes the event of a request that was refused.
	Record(ctx context.Context, e latchkey.Event) error
}

type actorKey struct{}

// actor is the administrator whose request it is.
func actor(ctx context.Context) string {
	name, _ := ctx.Value(actorKey{}).(string)
	return name
}

var (
	errWho  = latchkey.Errorf(latchkey.Unauthorized, "the token is missing or not valid").WithHint("make one on the server's machine: latchkey admin create NAME --data DIR")
	errRole = latchkey.Errorf(latchkey.Forbidden, "your role may not do this")
)

// authenticated lets requests with an administrator's token pass. The token is
// looked up by its SHA-256: equal work whether it is known or not, and nothing
// about the token itself can be learned from timing. A client certificate is
// worth nothing here.
func authenticated(d Doorman, now func() time.Time, next http.Handler) http.Handler {
	refusals := &ration{}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, err := who(d, r)
		if err != nil {
			recordRefusal(d, refusals, now(), r, err)
			note(r.Context(), "error", problemOf(err).Code)
			writeProblem(w, problemOf(err))
			return
		}
		note(r.Context(), "actor", name)
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), actorKey{}, name)))
	})
}

func who(d Doorman, r *http.Request) (string, error) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || len(token) > maxToken {
		token = ""
	}
	name, role, err := d.AdminByToken(r.Context(), seal.HashToken(token))
	switch {
	case latchkey.CodeOf(err) == latchkey.NotFound:
		return "", errWho
	case err != nil:
		return "", err
	case role != store.Owner:
		return "", errRole
	}
	return name, nil
}

// recordRefusal leaves a trace in the audit trail, but lets nobody fill the
// disk with them: the request log has every one.
func recordRefusal(d Doorman, refusals *ration, now time.Time, r *http.Request, err error) {
	if !refusals.take(now) {
		return
	}
	e := latchkey.Event{
		Time: now, Kind: latchkey.AuthorizationRefused,
		Detail: map[string]string{"from": host(r.RemoteAddr), "method": r.Method, "code": string(latchkey.CodeOf(err))},
	}
	if err := d.Record(r.Context(), e); err != nil {
		note(r.Context(), "audit_error", err.Error())
	}
}

// A ration allows perMinute events a minute.
type ration struct {
	mu     sync.Mutex
	minute int64
	taken  int
}

const perMinute = 20

func (r *ration) take(now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m := now.Unix() / 60; m != r.minute {
		r.minute, r.taken = m, 0
	}
	r.taken++
	return r.taken <= perMinute
}
