package httpd

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// A record is filled on the way and becomes one log line at the end.
type record struct {
	mu    sync.Mutex
	attrs []slog.Attr
}

type recordKey struct{}

// note adds a fact to the request's log line, or replaces what was noted under
// its name before. Never a secret.
func note(ctx context.Context, key string, value any) {
	if rec, ok := ctx.Value(recordKey{}).(*record); ok {
		rec.mu.Lock()
		defer rec.mu.Unlock()
		rec.attrs = slices.DeleteFunc(rec.attrs, func(a slog.Attr) bool { return a.Key == key })
		rec.attrs = append(rec.attrs, slog.Any(key, value))
	}
}

// Logged writes one line per request: the route's pattern, not its path, and
// no headers or bodies, so that no name or secret gets into the log by being
// typed in the wrong place. A panic is a line and a 500, not a dead server.
func Logged(log *slog.Logger, listener string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began, id, rec := time.Now(), requestID(), &record{}
		w.Header().Set("X-Request-Id", id)
		out := &watched{ResponseWriter: w}
		r = r.WithContext(context.WithValue(r.Context(), recordKey{}, rec))
		defer func() {
			if p := recover(); p != nil {
				note(r.Context(), "panic", p)
				if out.status == 0 {
					writeProblem(out, problemOf(errPanic))
				}
			}
			rec.mu.Lock()
			defer rec.mu.Unlock()
			log.LogAttrs(context.WithoutCancel(r.Context()), level(out.status), "request", append([]slog.Attr{
				slog.String("listener", listener), slog.String("id", id), slog.String("method", short(r.Method)),
				slog.Int("status", out.status), slog.String("from", host(r.RemoteAddr)),
				slog.Int64("ms", time.Since(began).Milliseconds()),
			}, rec.attrs...)...)
		}()
		next.ServeHTTP(out, r)
	})
}

func level(status int) slog.Level {
	if status >= http.StatusInternalServerError {
		return slog.LevelError
	}
	return slog.LevelInfo
}

// short bounds a method, which may be any word that a client likes.
func short(s string) string { return s[:min(len(s), 16)] }

func host(addr string) string {
	if h, _, err := net.SplitHostPort(addr); err == nil {
		return h
	}
	return addr
}

func requestID() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return hex.EncodeToString(b[:])
}

// watched remembers the status that was answered.
type watched struct {
	http.ResponseWriter
	status int
}

func (w *watched) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *watched) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection's deadlines.
func (w *watched) Unwrap() http.ResponseWriter { return w.ResponseWriter }
