package httpd

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"time"

	"latchkey"
	"latchkey/internal/seal"
)

// TokenPrefix begins every administrator's token, so that scanners for leaked
// secrets find it and nobody takes another token for one.
const TokenPrefix = "lka_"

// maxToken bounds the work on a header that cannot be a token, in bytes.
const maxToken = 256

// Doorman knows administrators and their tokens.
type Doorman interface {
	// AdminByToken returns NotFound where nobody has the token, where it has
	// ended and where its owner is disabled.
	AdminByToken(ctx context.Context, hash []byte) (latchkey.APIToken, error)
	// IsAdmins reports whether a user, by name or id, is an administrator too.
	IsAdmins(ctx context.Context, user string) (bool, error)
	// IsAdminsAuthenticator reports the same of whose authenticator it is.
	IsAdminsAuthenticator(ctx context.Context, id latchkey.AuthenticatorID) (bool, error)
	// Record writes the event of a request that was refused.
	Record(ctx context.Context, e latchkey.Event) error
	// CreateToken writes a token of an administrator and returns its id.
	CreateToken(ctx context.Context, hash []byte, k latchkey.APIToken, e latchkey.Event) (id string, err error)
	// RevokeToken and Tokens are about the tokens of one administrator, by id;
	// where it is empty, about those of all.
	RevokeToken(ctx context.Context, id, owner string, e latchkey.Event) error
	Tokens(ctx context.Context, owner string) ([]latchkey.APIToken, error)
	// As returns a context under which nothing is written once the token has
	// ended: Unauthorized. A body comes up to bodyTimeout after the look at it.
	As(ctx context.Context, k latchkey.APIToken) context.Context
	Requests
}

var errWho = latchkey.Errorf(latchkey.Unauthorized, "the token is missing or not valid").WithHint("make one on the server's machine: latchkey admin create NAME --data DIR")

// A doorkeeper lets requests pass whose token may do what they ask for.
type doorkeeper struct {
	door   Doorman
	now    func() time.Time
	mux    *http.ServeMux // knows which route a request is for
	nobody ration         // refusals of who is unknown; they leave the known ones' trace alone
	known  ration
}

// guard looks the token up by its SHA-256: equal work whether it is known
// or not, and nothing about the token itself can be learned from timing. A
// client certificate is worth nothing here.
func (k *doorkeeper) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, err := who(k.door, r)
		if err != nil {
			k.refused(w, r, latchkey.APIToken{}, "", err)
			return
		}
		note(r.Context(), "actor", token.Admin.Name)
		introduce(r.Context(), "token "+token.ID)
		_, route := k.mux.Handler(r)
		if route != "" { // without one the answer is 404 or 405
			if err := allowed(token, route); err != nil {
				k.refused(w, r, token, route, err)
				return
			}
		}
		c := caller{token: token, route: route, door: k.door, refuse: func(err error) { k.record(r, token, route, err) }}
		ctx := k.door.As(context.WithValue(r.Context(), callerKey{}, c), token)
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

func (k *doorkeeper) refused(w http.ResponseWriter, r *http.Request, token latchkey.APIToken, route string, err error) {
	k.record(r, token, route, err)
	p := problemOf(err)
	note(r.Context(), "error", p.Code)
	unexplained(r.Context(), p)
	writeProblem(w, p)
}

func who(d Doorman, r *http.Request) (latchkey.APIToken, error) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || len(token) > maxToken {
		token = ""
	}
	k, err := d.AdminByToken(r.Context(), seal.HashToken(token))
	if latchkey.CodeOf(err) == latchkey.NotFound {
		err = errWho
	}
	return k, err
}

// record leaves a trace in the audit trail, but lets nobody fill the disk with
// them: the request log has every one.
func (k *doorkeeper) record(r *http.Request, token latchkey.APIToken, route string, err error) {
	now, refusals := k.now(), &k.nobody
	detail := map[string]string{"from": host(r.RemoteAddr), "method": short(r.Method), "code": string(latchkey.CodeOf(err))}
	if token.ID != "" {
		refusals = &k.known
		detail["route"], detail["role"], detail["token"] = route, string(token.Admin.Role), token.ID
	}
	if !refusals.take(now) {
		return
	}
	e := latchkey.Event{Time: now, Kind: latchkey.AuthorizationRefused, Actor: token.Admin.Name, Detail: detail}
	if err := k.door.Record(r.Context(), e); err != nil {
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
