package httpd

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"latchkey"
	"latchkey/internal/api"
)

const problemType = "application/problem+json"

// A problem is an error on its way out (RFC 9457). It says what our own code
// worded, never what the request held.
type problem struct {
	api.Problem
	cause error         // for the log
	retry time.Duration // when to ask again; 0: nobody knows
}

func (p *problem) Error() string             { return p.Title }
func (p *problem) GetStatus() int            { return p.Status }
func (p *problem) ContentType(string) string { return problemType }

// statuses is the HTTP status of every code.
var statuses = map[latchkey.Code]int{
	latchkey.Invalid:      http.StatusBadRequest,
	latchkey.NotFound:     http.StatusNotFound,
	latchkey.Conflict:     http.StatusConflict,
	latchkey.Unauthorized: http.StatusUnauthorized,
	latchkey.Forbidden:    http.StatusForbidden,
	latchkey.Expired:      http.StatusGone,
	latchkey.Exhausted:    http.StatusGone,
	latchkey.Busy:         http.StatusServiceUnavailable,
	latchkey.KeyReused:    http.StatusUnprocessableEntity,
	latchkey.InProgress:   http.StatusConflict,
	latchkey.Interrupted:  http.StatusConflict,
	latchkey.Unknown:      http.StatusGatewayTimeout,
	latchkey.Internal:     http.StatusInternalServerError,
}

// codes is the code of every status that the HTTP layer itself answers with.
var codes = map[int]latchkey.Code{
	http.StatusUnauthorized:        latchkey.Unauthorized,
	http.StatusForbidden:           latchkey.Forbidden,
	http.StatusNotFound:            latchkey.NotFound,
	http.StatusConflict:            latchkey.Conflict,
	http.StatusTooManyRequests:     latchkey.Busy,
	http.StatusServiceUnavailable:  latchkey.Busy,
	http.StatusInternalServerError: latchkey.Internal,
}

// problemOf words an error. What carries no code is internal: the log has it,
// the answer has not.
func problemOf(err error) *problem {
	if p, ok := errors.AsType[*problem](err); ok {
		return p
	}
	e, ok := errors.AsType[*latchkey.Error](err)
	status := 0
	if ok {
		status = statuses[e.Code]
	}
	if status == 0 || status == http.StatusInternalServerError {
		p := plain(http.StatusInternalServerError, "internal error")
		p.Hint = "the server's log has the cause under the request id in the X-Request-Id header"
		p.cause = err
		return p
	}
	p := plain(status, e.Message)
	p.Code, p.Hint, p.cause = e.Code, e.Hint, err
	return p
}

// plain is a problem of the HTTP layer itself.
func plain(status int, detail string) *problem {
	code, ok := codes[status]
	if !ok {
		code = latchkey.Invalid
	}
	return &problem{Problem: api.Problem{Status: status, Code: code, Title: http.StatusText(status), Detail: detail}}
}

func writeProblem(w http.ResponseWriter, p *problem) {
	body, err := json.Marshal(p.Problem)
	if err != nil { // strings and a number always marshal
		body = []byte("{}")
	}
	w.Header().Set("Content-Type", problemType)
	if p.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)+1))
	if p.retry > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(p.retry/time.Second)+1))
	}
	w.WriteHeader(p.Status)
	_, _ = w.Write(append(body, '\n')) // the peer is gone: nobody is left to tell
}

// hushHuma makes huma's own errors speak our problems: its default ones repeat
// the value that was sent.
var hushHuma = sync.OnceFunc(func() {
	huma.DefaultArrayNullable = false // our lists are never null
	huma.NewError = func(status int, msg string, errs ...error) huma.StatusError {
		if status == http.StatusUnprocessableEntity {
			status = http.StatusBadRequest
		}
		p := plain(status, detail(status, msg, errs))
		p.cause = errors.Join(errs...)
		return p
	}
})

// detail words huma's complaints: about a parameter by its place, about a body
// in the words of strictJSON, about nothing else.
func detail(status int, msg string, errs []error) string {
	if status >= http.StatusInternalServerError {
		return "internal error"
	}
	for _, err := range errs {
		d, ok := err.(*huma.ErrorDetail)
		switch {
		case !ok:
		case strings.HasPrefix(d.Location, "query") && d.Message == "unknown query parameter":
			return "there is a query parameter that this address does not know"
		case d.Location == "body":
			return d.Message
		default:
			return d.Location + " is not what it may be"
		}
	}
	switch status {
	case http.StatusRequestEntityTooLarge:
		return "the body is too large"
	case http.StatusRequestTimeout:
		return "the body came too slowly"
	}
	if strings.HasPrefix(msg, "request body is required") {
		return "the body is missing"
	}
	return http.StatusText(status)
}
