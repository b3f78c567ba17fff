package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"latchkey"
	"latchkey/internal/seal"
	"latchkey/internal/supervisor"
)

// settingsFile lies in the data directory where --config names no other.
const settingsFile = "server.json"

// serverSettings are what a running server can be told anew. What it cannot
// (where it listens, where its data is) is a flag.
type serverSettings struct {
	// LogLevel is debug, info, warn or error; "" means info.
	LogLevel string `json:"log_level"`
	// TLSCertificate and TLSKey are PEM files for the administrators' listener,
	// beside the certificate of the server's own CA. Machines never see them.
	TLSCertificate string `json:"tls_certificate"`
	TLSKey         string `json:"tls_key"`
}

var levels = map[string]slog.Level{
	"": slog.LevelInfo, "debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
}

// readSettings reads and checks the file and what it names; one that is not
// there is empty.
func readSettings(path string) (s serverSettings, pair *tls.Certificate, err error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return serverSettings{}, nil, nil
	}
	if err != nil {
		return serverSettings{}, nil, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, seal.MaxSize+1))
	if err == nil {
		err = seal.DecodeStrict(raw, &s)
	}
	if err == nil {
		pair, err = s.check()
	}
	if err != nil {
		return serverSettings{}, nil, latchkey.Errorf(latchkey.Invalid, "%s: %v", path, err).
			WithHint("mend the file, then: latchkey config check --config %s", path)
	}
	return s, pair, nil
}

func (s serverSettings) check() (*tls.Certificate, error) {
	if _, ok := levels[s.LogLevel]; !ok {
		return nil, fmt.Errorf("log_level is debug, info, warn or error, not %q", s.LogLevel)
	}
	if (s.TLSCertificate == "") != (s.TLSKey == "") {
		return nil, errors.New("tls_certificate and tls_key come together")
	}
	if s.TLSCertificate == "" {
		return nil, nil
	}
	pair, err := tls.LoadX509KeyPair(s.TLSCertificate, s.TLSKey)
	if err != nil {
		return nil, err
	}
	return &pair, nil
}

// A tuning is what the settings file set, and moves while the server runs.
type tuning struct {
	path  string
	level slog.LevelVar
	pair  atomic.Pointer[tls.Certificate]
}

// read takes the settings over as a whole, or not at all.
func (t *tuning) read() error {
	s, pair, err := readSettings(t.path)
	if err != nil {
		return err
	}
	t.level.Set(levels[s.LogLevel])
	t.pair.Store(pair)
	return nil
}

// expires says until when a certificate of the file is good, "" without one.
func (t *tuning) expires() string {
	pair := t.pair.Load()
	if pair == nil || pair.Leaf == nil {
		return ""
	}
	return pair.Leaf.NotAfter.UTC().Format(time.RFC3339)
}

// present shows the file's certificate to whoever asks for one of its names,
// and the own CA's to everybody else: LATCHKEY_CA goes on working on loopback.
func (t *tuning) present(own *tls.Config) *tls.Config {
	out := own.Clone()
	out.GetCertificate = func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
		if pair := t.pair.Load(); pair != nil && h.ServerName != "" && pair.Leaf.VerifyHostname(h.ServerName) == nil {
			return pair, nil
		}
		return own.GetCertificate(h)
	}
	return out
}

// follow reads the settings again each time it is asked to.
func (t *tuning) follow(ctx context.Context, asked <-chan os.Signal, log *slog.Logger) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-asked:
		}
		supervisor.Reloading()
		if err := t.read(); err != nil {
			supervisor.Say("serving; settings refused: " + err.Error())
			log.Error("the settings were refused, those from before stay", "error", err)
		} else {
			supervisor.Say("serving")
			log.Warn("the settings were read again", "file", t.path, "certificate_expires", t.expires())
		}
		supervisor.Ready()
	}
}

// config is the settings file's path.
func (f *serveFlags) config() string {
	if f.configFile != "" {
		return f.configFile
	}
	return filepath.Join(f.dir, settingsFile)
}
