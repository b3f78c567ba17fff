// Package httpd is the server's face: the listener for administrators and the
// one for agents, each with its own door, and the HTTP shape of what the rooms
// answer.
//
// It refuses to decide anything beyond who may ask. What a machine has to show
// is worth nothing to the administrators' listener, and the other way round.
package httpd

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Limits of every connection. A slow or silent peer costs us this much time,
// and no more.
const (
	headerTimeout = 5 * time.Second
	readTimeout   = 20 * time.Second
	writeTimeout  = 30 * time.Second
	idleTimeout   = 2 * time.Minute
	maxHeader     = 32 << 10  // bytes
	maxStreams    = 64        // requests at once on a connection of HTTP/2
	maxWaiting    = 128 << 10 // bytes of bodies on it that nobody has read yet
	shutdownGrace = 10 * time.Second
)

// A Door is one listener and what stands behind it.
type Door struct {
	Name     string // in the log
	Listener net.Listener
	TLS      *tls.Config
	Plain    bool // without TLS: for numbers only, which need no token
	Handler  http.Handler
}

// A Server is several doors. Make it with New.
type Server struct {
	log   *slog.Logger
	doors []open
}

type open struct {
	Door
	server *http.Server
}

// New returns a server of the doors; nothing is answered before Serve.
func New(log *slog.Logger, doors ...Door) *Server {
	s := &Server{log: log}
	for _, d := range doors {
		d.Listener = newCrowd(d.Listener, time.Now)
		s.doors = append(s.doors, open{d, &http.Server{
			Handler:           Logged(log, d.Name, d.Handler),
			TLSConfig:         d.TLS,
			ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
			MaxHeaderBytes: maxHeader,
			HTTP2:          &http.HTTP2Config{MaxConcurrentStreams: maxStreams, MaxReceiveBufferPerConnection: maxWaiting, MaxReceiveBufferPerStream: maxWaiting / 2},
			ConnContext:    welcome, ConnState: watch,
			ErrorLog: slog.NewLogLogger(log.With("listener", d.Name).Handler(), slog.LevelWarn),
		}})
	}
	return s
}

func (o open) serve() error {
	if o.Plain {
		return o.server.Serve(o.Listener)
	}
	return o.server.ServeTLS(o.Listener, "", "")
}

// Serve answers until ctx ends, then finishes the requests that are under way.
// It returns nil after such an end, and the error where a listener broke.
func (s *Server) Serve(ctx context.Context) error {
	broken := make(chan error, len(s.doors))
	for _, o := range s.doors {
		go func() { broken <- o.serve() }()
	}
	var err error
	select {
	case err = <-broken:
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownGrace)
	defer cancel()
	for _, o := range s.doors {
		if stop := o.server.Shutdown(grace); stop != nil {
			s.log.Warn("requests were cut off", "listener", o.Name)
			err = errors.Join(err, o.server.Close())
		}
	}
	return err
}
