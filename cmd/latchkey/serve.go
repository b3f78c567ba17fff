package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"latchkey"
	"latchkey/internal/store"
	"latchkey/internal/supervisor"
)

// serveFlags are what a server is told at its start.
type serveFlags struct {
	dataFlags
	listen, agentListen string
	metricsListen       string
	publicURL           string
	agentURLs           []string
	rpID                string
	configFile          string
}

func (p *program) serve() *cobra.Command {
	var f serveFlags
	c := verb("serve", "Run the server", func(ctx context.Context, _ []string) error {
		if err := f.check(); err != nil {
			return err
		}
		return p.run(ctx, f)
	})
	f.dataFlags.add(c)
	f.addServe(c)
	return c
}

// addServe adds the flags that only a server has.
func (f *serveFlags) addServe(c *cobra.Command) {
	c.Flags().StringVar(&f.listen, "listen", "127.0.0.1:8443", "where administrators reach the server")
	c.Flags().StringVar(&f.agentListen, "agent-listen", "127.0.0.1:8444", "where agents reach the server")
	c.Flags().StringVar(&f.metricsListen, "metrics-listen", "", "where /metrics is served, over plain HTTP and without a token; by default nowhere")
	c.Flags().StringVar(&f.publicURL, "public-url", "", "https address that administrators use; by default that of --listen")
	c.Flags().StringArrayVar(&f.agentURLs, "agent-url", nil, "https address that agents use (repeatable); by default that of --agent-listen")
	c.Flags().StringVar(&f.configFile, "config", "", "settings that SIGHUP reads again, by default DIR/server.json; need not exist")
	c.Flags().StringVar(&f.rpID, "rp-id", "", "host name that security keys are registered for; by default that of --public-url")
}

// check refuses what would fail later, before anything is made.
func (f *serveFlags) check() error {
	if err := f.dataFlags.check(); err != nil {
		return err
	}
	for flag, address := range map[string]string{"--listen": f.listen, "--agent-listen": f.agentListen, "--metrics-listen": f.metricsListen} {
		if flag == "--metrics-listen" && address == "" {
			continue
		}
		if _, _, err := net.SplitHostPort(address); err != nil {
			return &usageError{flag + " takes HOST:PORT", "for example 0.0.0.0:8443"}
		}
	}
	if f.publicURL != "" && !secureURL(f.publicURL) {
		return &usageError{"--public-url takes an https:// address without a path", ""}
	}
	for _, u := range f.agentURLs {
		if !secureURL(u) {
			return &usageError{"--agent-url takes an https:// address without a path", ""}
		}
	}
	if strings.ContainsAny(f.rpID, ":/@ ") {
		return &usageError{"--rp-id takes a host name", "for example latchkey.example"}
	}
	return nil
}

func secureURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Scheme == "https" && u.Hostname() != "" && u.User == nil && strings.Trim(u.Path, "/") == "" && u.RawQuery == ""
}

// gcPercent lets a heap of a few megabytes grow to three times its size before
// it is collected: at many logins a second the collector would otherwise run all
// the time to save memory that nobody misses.
const gcPercent = 200

func (p *program) run(ctx context.Context, f serveFlags) (err error) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	db, err := f.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if f.database == "" {
		held, err := alone(f.dir)
		if err != nil {
			return err
		}
		defer held.Close()
	}
	tuned := &tuning{path: f.config()}
	if err := tuned.read(); err != nil {
		return err
	}
	log := slog.New(slog.NewJSONHandler(p.err, &slog.HandlerOptions{Level: &tuned.level}))
	s, err := listen(db, f)
	if err != nil {
		return err
	}
	s.tuned = tuned
	server, err := s.build(log)
	if err != nil {
		return errors.Join(err, s.close())
	}
	if err := db.Attend(ctx, s.holder, 2*ringEvery); err != nil {
		return errors.Join(err, s.close())
	}
	defer func() { err = errors.Join(err, db.Leave(context.WithoutCancel(ctx), s.holder)) }()
	if err := db.Record(ctx, latchkey.Event{Kind: latchkey.ServerStarted, Actor: "server", Detail: map[string]string{"version": version}}); err != nil {
		return errors.Join(err, s.close())
	}
	p.welcome(ctx, db, f, s)
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	s.end = end
	sealed := s.seal(ctx, log)
	defer s.supervised(ctx, log)()
	err = server.Serve(ctx)
	if cause := context.Cause(ctx); errors.Is(cause, store.ErrOvertaken) {
		err = errors.Join(cause, err) // the service manager starts what is installed now
	}
	return errors.Join(err, sealed())
}

// supervised tells the service manager that the server is ready and well, and
// reads the settings again on SIGHUP. The function that it returns ends both.
func (s *serving) supervised(ctx context.Context, log *slog.Logger) func() {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	watched, stop := context.WithCancel(context.WithoutCancel(ctx))
	go supervisor.Watch(watched, func() { _ = s.ready(watched) }) // that it returns is what counts: a full disk is no reason to start again
	go s.tuned.follow(ctx, hup, log)
	go s.followKeys(watched, log)
	context.AfterFunc(ctx, supervisor.Stopping)
	supervisor.Say("serving")
	supervisor.Ready()
	return func() { signal.Stop(hup); stop() }
}

// seal keeps the audit trail sealed. The function that it returns seals the
// rest, once nothing is written any more.
func (s *serving) seal(ctx context.Context, log *slog.Logger) func() error {
	ctx, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.sealer.Run(ctx, func(err error) { log.Error("the audit trail is not as it should be", "error", err) })
	}()
	return func() error {
		stop()
		<-done
		return s.sealer.Round(context.WithoutCancel(ctx))
	}
}

// welcome says where the server is, how to know that it is this one, and what
// to do next. Who comes first over the network never becomes administrator.
func (p *program) welcome(ctx context.Context, db *store.DB, f serveFlags, s *serving) {
	has, err := db.HasAdmins(ctx) // before anybody is told where to ask
	var text strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&text, "latchkey: "+format+"\n", args...) }
	say("serving administrators at %s", s.publicURL)
	say("serving agents at %s", strings.Join(s.agentURLs, " "))
	if s.numbers != nil {
		say("serving metrics at http://%s/metrics", s.numbers.Addr())
	}
	say("CA file %s", s.caFile)
	say("CA SHA-256 %s", s.caSHA256)
	if err == nil && !has {
		say("there is no administrator yet; on this machine: latchkey admin create NAME %s", f.again())
	}
	if risks, err := db.Risks(ctx); err == nil {
		for _, r := range risks {
			say("warning: %s", r)
		}
	}
	fmt.Fprint(p.err, text.String())
}
