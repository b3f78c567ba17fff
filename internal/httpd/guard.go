package httpd

import (
	"errors"
	"maps"
	"mime"
	"net/http"
)

var errPanic = errors.New("panic")

// careful are the headers that every answer carries. Nobody changes the lists.
var careful = http.Header{
	"Strict-Transport-Security": {"max-age=31536000"},
	"X-Content-Type-Options":    {"nosniff"},
	"Referrer-Policy":           {"no-referrer"},
	"Cache-Control":             {"no-store"},
	"Content-Security-Policy":   {"default-src 'none'; frame-ancestors 'none'"},
}

// guarded sets the headers that every answer carries and refuses methods that
// no route has use for (TRACE would repeat the request, token and all).
func guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		maps.Copy(w.Header(), careful)
		switch r.Method {
		case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete:
			next.ServeHTTP(w, r)
		default:
			writeProblem(w, plain(http.StatusMethodNotAllowed, "no address here knows that method"))
		}
	})
}

// jsonOnly refuses bodies of another type: what a browser can send from a
// foreign page without asking first is never JSON.
func jsonOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 && !isJSON(r.Header.Get("Content-Type")) {
			writeProblem(w, plain(http.StatusUnsupportedMediaType, "the body must be of type application/json"))
			return
		}
		next.ServeHTTP(w, r)
	})
}

func isJSON(contentType string) bool {
	if contentType == "application/json" {
		return true // as nearly everybody writes it
	}
	kind, _, err := mime.ParseMediaType(contentType)
	return err == nil && kind == "application/json"
}

// routed words the mux's own answers (no such address, wrong method) as
// problems; they would otherwise be text, and a redirect would repeat the path.
func routed(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h, pattern := mux.Handler(r)
		if pattern != "" {
			note(r.Context(), "route", pattern)
			mux.ServeHTTP(w, r)
			return
		}
		probe := &discarded{header: http.Header{}}
		h.ServeHTTP(probe, r)
		if allow := probe.header.Get("Allow"); probe.status == http.StatusMethodNotAllowed {
			w.Header().Set("Allow", allow)
			writeProblem(w, plain(http.StatusMethodNotAllowed, "this address does not know that method"))
			return
		}
		writeProblem(w, plain(http.StatusNotFound, "no such address"))
	})
}

// discarded takes an answer that is only asked for its status.
type discarded struct {
	header http.Header
	status int
}

func (d *discarded) Header() http.Header         { return d.header }
func (d *discarded) Write(b []byte) (int, error) { return len(b), nil }
func (d *discarded) WriteHeader(status int)      { d.status = status }
