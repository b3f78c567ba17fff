package agent

import (
	"context"
	"errors"
	"fmt"
	"net"

	"latchkey/internal/agent/ipc"
)

// A RunConfig says how to run an agent as a service.
type RunConfig struct {
	Config
	Login, Admin string // paths of the sockets; systemd's own come first
	User         string // who to be once the sockets are made; "" to stay
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
	go watchdog(ctx, func() { a.vault.Floor() })
	err = a.Serve(ctx, login, admin, func() {
		notify("READY=1")
		a.log.Info("serving", "machine", a.who.Name, "version", Version, "login", login.Addr().String(), "admin", admin.Addr().String())
	})
	notify("STOPPING=1")
	return errors.Join(err, a.Close())
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
