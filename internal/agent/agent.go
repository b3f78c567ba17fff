// Package agent is the machine's hall: it joins the login socket, the server,
// the vault and the syncer, and answers the machine's administrator.
//
// It refuses to decide by itself: a login is the server's to judge, or the
// vault's while the server cannot be asked. It knows nobody but the users whom
// these two know, and asks no name service.
package agent

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"latchkey"
	"latchkey/internal/agent/boxfile"
	"latchkey/internal/agent/ipc"
	"latchkey/internal/agent/keystore"
	"latchkey/internal/agent/online"
	"latchkey/internal/agent/syncer"
	"latchkey/internal/clock"
	"latchkey/internal/vault"
)

// Version is the agent's version: the server may demand a least one before a
// machine decides offline.
const Version = "0.2.0"

// The places where an agent is found.
const (
	LoginSocket = "/run/latchkey/login.sock"
	AdminSocket = "/run/latchkey/admin.sock"
	StateDir    = "/var/lib/latchkey-agent"
)

// A Config says what to run.
type Config struct {
	State string
	Log   *slog.Logger
	// Clock reads the machine's clocks; nil means the system's.
	Clock func() vault.Reading
	// Passwd is the machine's own user database; "" means /etc/passwd.
	Passwd string
	// Budgets bound how long people wait for the server.
	Budgets online.Budgets
	// Settings is the settings file; "" means SettingsFile.
	Settings string
	// Level is the log's; the settings move it. It may be nil.
	Level *slog.LevelVar
	// Grace is how long logins that are under way may take when the agent is
	// asked to end; 0 means 20 s.
	Grace time.Duration
}

// An Agent is one machine's agent. It is safe for concurrent use.
type Agent struct {
	log    *slog.Logger
	clock  func() vault.Reading
	passwd string
	who    boxfile.Identity
	class  latchkey.KeyClass

	box    *boxfile.Box
	vault  *vault.Vault
	server *online.Client
	syncer *syncer.Syncer
	proofs proofs
	alarms alarms
	grace  time.Duration

	settingsFile string
	level        *slog.LevelVar
	settling     sync.Mutex // one reading of the settings file after the other
	services     atomic.Pointer[ipc.Services]
	unsettled    atomic.Pointer[error] // what was wrong with it
}

// Open opens a machine's state. Errors name what is wrong with it.
func Open(c Config) (*Agent, error) {
	if c.Clock == nil {
		c.Clock = systemClock(c.Log)
	}
	if err := whole(c.State); err != nil {
		return nil, err
	}
	box, who, err := boxfile.Open(c.State)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", c.State, err)
	}
	a := &Agent{
		log: c.Log, clock: c.Clock, passwd: c.Passwd, who: who, box: box,
		grace: cmp.Or(c.Grace, shutdownGrace), settingsFile: cmp.Or(c.Settings, SettingsFile), level: c.Level,
	}
	if err := a.open(c); err != nil {
		return nil, errors.Join(err, box.Close())
	}
	if err := a.Configure(); err != nil { // no reason to let nobody in
		a.log.Error("the settings were refused", "error", err)
	}
	return a, nil
}

func (a *Agent) open(c Config) error {
	keys, err := keystore.Open(boxfile.KeysDir(c.State))
	if err != nil {
		return err
	}
	a.class = keys.Class()
	if a.vault, err = vault.Open(a.vaultConfig(keys)); err != nil {
		return err
	}
	pins, err := parsePins(a.who.Pins)
	if err != nil {
		return errors.Join(err, a.vault.Close())
	}
	identity := keys.Identity()
	a.server = online.New(online.Config{
		URLs: a.who.URLs, Pins: pins, Identity: &identity, Memory: a.vault, Budgets: c.Budgets,
		Floor: a.vault.Floor, Alone: a.vault.Alone, Alarm: a.alarm, Now: time.Now,
	})
	a.syncer = syncer.New(syncer.Config{
		Server: a.server, Vault: a.vault, Budget: a.server.Budgets.Sync, Heard: a.server.Heard, Now: a.wall,
		OS: systemName(), Version: Version, Log: a.log,
	})
	return nil
}

func (a *Agent) vaultConfig(keys *keystore.Keys) vault.Config {
	return vault.Config{
		Deployment: a.who.Deployment, Machine: a.who.Machine, Class: keys.Class(), Agent: Version,
		Sealing: keys.Sealing(), Rand: rand.Reader, Clock: a.clock, Box: a.box,
	}
}

func parsePins(texts []string) ([]online.Pin, error) {
	var pins []online.Pin
	for _, t := range texts {
		p, err := online.ParsePin(t)
		if err != nil {
			return nil, fmt.Errorf("reading identity: %w", err)
		}
		pins = append(pins, p)
	}
	return pins, nil
}

func (a *Agent) wall() time.Time { return a.clock().Wall }

// Close ends what Serve left running and closes the state.
func (a *Agent) Close() error {
	a.server.Close()
	return errors.Join(a.vault.Close(), a.box.Close())
}

// shutdownGrace is how long people who stand at a prompt have to answer it when
// the agent is asked to end. The unit's TimeoutStopSec is longer.
const shutdownGrace = 20 * time.Second

// Serve answers front-ends and the administrator until ctx ends. Then it goes
// on for as long as a login is under way, at most its grace: whoever has begun
// may end, and who comes meanwhile is served, because no other agent can start
// before this one is gone. ready is called when both sockets are served.
func (a *Agent) Serve(asked context.Context, login, admin net.Listener, ready func()) error {
	ctx, cancel := context.WithCancel(context.WithoutCancel(asked))
	defer cancel()
	door := &ipc.Server{Handler: a, Log: a.log, Now: a.wall, Passwd: a.passwd, Services: func() ipc.Services { return *a.services.Load() }}
	defer context.AfterFunc(asked, func() {
		wait, enough := context.WithTimeout(ctx, a.grace)
		defer enough()
		door.Quiet(wait)
		cancel()
	})()
	var running sync.WaitGroup
	failed := make(chan error, 2)
	running.Go(func() { failed <- door.Serve(ctx, login); cancel() })
	running.Go(func() { failed <- a.serveAdmin(ctx, admin); cancel() })
	running.Go(func() { a.syncer.Run(ctx) })
	ready()
	running.Wait()
	return errors.Join(<-failed, <-failed)
}

// systemClock reads the system's clocks. Without a boot clock no time has gone
// by that could be proven, which is the strict reading.
func systemClock(log *slog.Logger) func() vault.Reading {
	c := clock.System()
	return func() vault.Reading {
		boot, err := c.Boottime()
		id, idErr := c.BootID()
		if err := errors.Join(err, idErr); err != nil {
			log.Error("reading the clocks", "error", err)
		}
		return vault.Reading{Wall: c.Now(), Boot: boot, BootID: id}
	}
}

// marker stands in a state directory while a machine joins: what is beside it
// may be half of a machine.
const marker = "enrolling"

func whole(dir string) error {
	if _, err := os.Lstat(filepath.Join(dir, marker)); err == nil {
		return latchkey.Errorf(latchkey.Conflict, "enrolling this machine was interrupted").
			WithHint("run latchkey-agent enroll again")
	}
	if _, err := os.Lstat(filepath.Join(dir, "identity.json")); errors.Is(err, os.ErrNotExist) {
		return latchkey.Errorf(latchkey.NotFound, "this machine is not enrolled: %s holds no machine", dir).
			WithHint("make a token with: latchkey machine token create; then run: latchkey-agent enroll TOKEN --state %s", dir)
	}
	return nil
}

// alarms counts what should not happen on an honest network.
type alarms struct {
	mu    sync.Mutex
	count map[string]int
}

func (a *Agent) alarm(what string, err error) {
	a.log.Error("alarm", "alarm", what, "error", err)
	a.alarms.mu.Lock()
	defer a.alarms.mu.Unlock()
	if a.alarms.count == nil {
		a.alarms.count = map[string]int{}
	}
	a.alarms.count[what]++
}

func (s *alarms) counts() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string]int{}
	for what, n := range s.count {
		out[what] = n
	}
	return out
}
