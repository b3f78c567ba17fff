package ipc

import (
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// peer asks the kernel who is at the other end (LOCAL_PEERCRED, unix(4)).
func peer(conn net.Conn) (Caller, error) {
	u, ok := conn.(*net.UnixConn)
	if !ok {
		return Caller{}, fmt.Errorf("asking for the peer: not a Unix socket")
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return Caller{}, fmt.Errorf("asking for the peer: %w", err)
	}
	var who Caller
	var failed error
	if err := raw.Control(func(fd uintptr) {
		var cred *unix.Xucred
		if cred, failed = unix.GetsockoptXucred(int(fd), unix.SOL_LOCAL, unix.LOCAL_PEERCRED); failed != nil {
			return
		}
		pid, err := unix.GetsockoptInt(int(fd), unix.SOL_LOCAL, unix.LOCAL_PEERPID)
		who, failed = Caller{UID: cred.Uid, PID: int32(pid)}, err
	}); err != nil {
		return Caller{}, fmt.Errorf("asking for the peer: %w", err)
	}
	if failed != nil {
		return Caller{}, fmt.Errorf("asking for the peer: %w", failed)
	}
	return who, nil
}
