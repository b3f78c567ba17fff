package httpd

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"latchkey"
)

// A record is filled on the way and becomes one log line at the end.
type record struct {
	watched
	listener, id string
	began        time.Time

	mu    sync.Mutex // guards what follows
	quiet bool
	attrs []slog.Attr
	room  [16]slog.Attr // for attrs
}

type recordKey struct{}

func recordOf(ctx context.Context) *record {
	rec, _ := ctx.Value(recordKey{}).(*record)
	return rec
}

// note adds a fact to the request's log line, or replaces what was noted under
// its name before. Never a secret.
func note(ctx context.Context, key string, value any) {
	if rec := recordOf(ctx); rec != nil {
		rec.note(slog.Any(key, plainly(value)))
	}
}

func (rec *record) note(a slog.Attr) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	for i := range rec.attrs {
		if rec.attrs[i].Key == a.Key {
			rec.attrs[i] = a
			return
		}
	}
	rec.attrs = append(rec.attrs, a)
}

// plainly makes a plain text of a typed one: anything else is printed through
// its JSON, which costs more than the rest of the line.
func plainly(value any) any {
	switch v := value.(type) {
	case latchkey.MachineID:
		return string(v)
	case latchkey.Code:
		return string(v)
	}
	return value
}

// hush says that the request is not worth a line if it ends well: another one
// tells of the same logon.
func hush(ctx context.Context) {
	if rec := recordOf(ctx); rec != nil {
		rec.mu.Lock()
		defer rec.mu.Unlock()
		rec.quiet = true
	}
}

// Logged writes one line per request: the route's pattern, not its path, and
// no headers or bodies, so that no name or secret gets into the log by being
// typed in the wrong place. A panic is a line and a 500, not a dead server.
func Logged(log *slog.Logger, listener string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := &record{watched: watched{ResponseWriter: w, guest: guestIn(r.Context())}, listener: listener, id: requestID(), began: time.Now()}
		rec.attrs = rec.room[:0]
		w.Header()["X-Request-Id"] = []string{rec.id}
		r = r.WithContext(context.WithValue(r.Context(), recordKey{}, rec))
		defer func() {
			if p := recover(); p != nil {
				note(r.Context(), "panic", p)
				if rec.status == 0 {
					writeProblem(rec, problemOf(errPanic))
				}
			}
			rec.write(log, r)
		}()
		next.ServeHTTP(rec, r)
	})
}

func (rec *record) write(log *slog.Logger, r *http.Request) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	at := level(rec.status)
	if rec.quiet && at == slog.LevelInfo {
		at = slog.LevelDebug
	}
	if ctx := r.Context(); log.Enabled(ctx, at) {
		log.LogAttrs(context.WithoutCancel(ctx), at, "request", append([]slog.Attr{
			slog.String("listener", rec.listener), slog.String("id", rec.id), slog.String("method", short(r.Method)),
			slog.Int("status", rec.status), slog.String("from", host(r.RemoteAddr)),
			slog.Int64("ms", time.Since(rec.began).Milliseconds()),
		}, rec.attrs...)...)
	}
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
	guest  *guest
}

func (w *watched) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	if status >= http.StatusBadRequest && w.guest.strange() {
		w.Header().Set("Connection", "close") // also ends a connection of HTTP/2
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *watched) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// watching is what watches an answer already, or somebody new.
func watching(w http.ResponseWriter) (http.ResponseWriter, *watched) {
	if rec, ok := w.(*record); ok {
		return w, &rec.watched
	}
	out := &watched{ResponseWriter: w}
	return out, out
}

// Unwrap lets http.ResponseController reach the connection's deadlines.
func (w *watched) Unwrap() http.ResponseWriter { return w.ResponseWriter }
