package ipc

import (
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// peer asks the kernel who is at the other end (SO_PEERCRED, unix(7)).
func peer(conn net.Conn) (Caller, error) {
	u, ok := conn.(*net.UnixConn)
	if !ok {
		return Caller{}, fmt.Errorf("asking for the peer: not a Unix socket")
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return Caller{}, fmt.Errorf("asking for the peer: %w", err)
	}
	var cred *unix.Ucred
	var failed error
	if err := raw.Control(func(fd uintptr) {
		cred, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return Caller{}, fmt.Errorf("asking for the peer: %w", err)
	}
	if failed != nil {
		return Caller{}, fmt.Errorf("asking for the peer: %w", failed)
	}
	return Caller{UID: cred.Uid, PID: cred.Pid}, nil
}
