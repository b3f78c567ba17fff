package httpd

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"latchkey"
)

// bodyTimeout is how long a body may take to arrive. Only tests change it.
var bodyTimeout = 10 * time.Second

const (
	// maxBody is the longest body that an administrator can send, in bytes.
	maxBody = 1 << 20
	// lingering is how long the rest of a body that nobody reads may take: who sent
	// it should still see the answer.
	lingering = time.Second
	// emptyBody is the longest body that may be an empty object, in bytes.
	emptyBody = 8
)

var errNoBody = latchkey.Errorf(latchkey.Invalid, "this address takes no body")

// bounded answers who announces more than anybody may send before any of it
// arrives, and holds no connection for a body that nobody is going to read: the
// server would wait for it before it sends what was answered.
func bounded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength == 0 {
			next.ServeHTTP(w, r)
			return
		}
		b := &arriving{ReadCloser: r.Body}
		r.Body = b
		if r.ContentLength > maxBody {
			refuse(w, r, tooLarge(w))
		} else {
			next.ServeHTTP(w, r)
		}
		if !b.ended {
			b.forget(w, r.ProtoMajor)
		}
	})
}

// forget bounds what happens to the rest of a body. HTTP/1.1 reads on by itself
// before it closes. HTTP/2 resets the stream, over which curl forgets what it was
// answered: it gets the answer first, and a moment.
func (a *arriving) forget(w http.ResponseWriter, proto int) {
	c := http.NewResponseController(w)
	_ = c.SetReadDeadline(time.Now().Add(lingering)) // where there is none, the server's own holds
	if proto > 1 {
		_ = c.Flush()
		_, _ = io.Copy(io.Discard, a) // until he stops, or the moment is over
	}
}

// arriving is a body and whether all of it was read.
type arriving struct {
	io.ReadCloser
	ended bool
}

// Read implements io.Reader.
func (a *arriving) Read(p []byte) (int, error) {
	n, err := a.ReadCloser.Read(p)
	a.ended = a.ended || err == io.EOF
	return n, err
}

// takers are the routes that take a body.
func takers(a huma.API) map[string]bool {
	out := map[string]bool{}
	for path, item := range a.OpenAPI().Paths {
		for method, o := range map[string]*huma.Operation{
			http.MethodPost: item.Post, http.MethodPut: item.Put, http.MethodPatch: item.Patch, http.MethodDelete: item.Delete,
		} {
			if o != nil && o.RequestBody != nil {
				out[method+" "+path] = true
			}
		}
	}
	return out
}

// bare refuses a body where none is taken: whoever sends one means something by
// it that is not going to happen. An empty object, which some programs send with
// everything, means nothing.
func bare(mux *http.ServeMux, taking map[string]bool, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, route := mux.Handler(r)
		switch {
		case route == "": // 404 or 405, whatever is sent
			routed(mux).ServeHTTP(w, r)
			return
		case taking[route] || r.ContentLength == 0:
			next.ServeHTTP(w, r)
			return
		case r.ContentLength > emptyBody:
			refuse(w, r, errNoBody)
			return
		}
		body, err := whole(w, r)
		if text := string(bytes.TrimSpace(body)); err == nil && text != "" && text != "{}" {
			err = errNoBody
		}
		if err != nil {
			refuse(w, r, err)
			return
		}
		r.Body, r.ContentLength = http.NoBody, 0
		next.ServeHTTP(w, r)
	})
}

// arrived has the whole body in memory before anything begins.
func arrived(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 {
			if _, err := whole(w, r); err != nil {
				refuse(w, r, err)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// whole reads the body, within size and time, and puts it back.
func whole(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	deadlines := http.NewResponseController(w)
	_ = deadlines.SetReadDeadline(time.Now().Add(bodyTimeout)) // where there is none, the server's own holds
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	switch _, large := errors.AsType[*http.MaxBytesError](err); {
	case large:
		return nil, tooLarge(w)
	case errors.Is(err, os.ErrDeadlineExceeded):
		w.Header().Set("Connection", "close")
		return nil, plain(http.StatusRequestTimeout, "the body came too slowly")
	case err != nil:
		return nil, plain(http.StatusBadRequest, "the body cannot be read")
	}
	_ = deadlines.SetReadDeadline(time.Time{})
	r.Body = io.NopCloser(bytes.NewReader(body))
	return body, nil
}

// tooLarge ends the connection as well: what comes next is the rest of the body.
func tooLarge(w http.ResponseWriter) error {
	w.Header().Set("Connection", "close")
	return plain(http.StatusRequestEntityTooLarge, "the body is too large")
}
