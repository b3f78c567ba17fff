package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"

	"latchkey/internal/agent/ipc"
	"latchkey/internal/supervisor"
)

// A RunConfig says how to run an agent as a service.
type RunConfig struct {
	Config
	Login, Admin string // paths of the sockets; systemd's own come first
	User         string // who to be once the sockets are made; "" to stay
	// Reload asks for the settings file to be read again.
	Reload <-chan os.Signal
}

// Run makes the sockets, gives up root's rights, opens the state and serves
// until ctx ends. The sockets stay root's, which front-ends check; the state is
// opened by its owner.
func Run(ctx context.Context, c RunConfig) error {
	login, admin, err := sockets(c)
	if err != nil {
		return err
	}
	defer login.Close()
	defer admin.Close()
	harden()
	if c.User != "" {
		if err := become(c.User); err != nil {
			return err
		}
	}
	conceal()
	a, err := Open(c.Config)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, supervisor.Stopping)()
	go supervisor.Watch(context.WithoutCancel(ctx), func() { a.vault.Floor() })
	go a.reload(ctx, c.Reload)
	err = a.Serve(ctx, login, admin, func() {
		a.tellReady()
		a.log.Info("serving", "machine", a.who.Name, "version", Version, "login", login.Addr().String(), "admin", admin.Addr().String())
	})
	return errors.Join(err, a.Close())
}

// reload reads the settings again each time it is asked to.
func (a *Agent) reload(ctx context.Context, asked <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-asked:
		}
		supervisor.Reloading()
		if err := a.Configure(); err != nil {
			a.log.Error("the settings were refused, those from before stay", "error", err)
		} else {
			a.log.Warn("the settings were read again", "file", a.settingsFile)
		}
		a.tellReady()
	}
}

func (a *Agent) tellReady() {
	supervisor.Say("serving")
	if problem := a.settingsProblem(); problem != "" {
		supervisor.Say("serving; settings refused: " + problem)
	}
	supervisor.Ready()
}

// sockets are those that systemd hands over, and new ones for the others.
func sockets(c RunConfig) (login, admin net.Listener, err error) {
	given, err := ipc.Activated()
	if err != nil {
		return nil, nil, err
	}
	login, admin = given["login"], given["admin"]
	if login == nil {
		if login, err = ipc.Listen(c.Login, ipc.LoginMode); err != nil {
			return nil, nil, err
		}
	}
	if admin == nil {
		if admin, err = ipc.Listen(c.Admin, ipc.AdminMode); err != nil {
			return nil, nil, errors.Join(err, login.Close())
		}
	}
	for name := range given {
		if name != "login" && name != "admin" {
			return nil, nil, errors.Join(fmt.Errorf("systemd handed over a socket named %q", name), login.Close(), admin.Close())
		}
	}
	return login, admin, nil
}
