package ipc

import (
	"net"
	"os"
)

// Privileged reports whether the process at the other end is root's, or runs as
// the agent itself does.
func Privileged(conn net.Conn) bool {
	who, err := peer(conn)
	return err == nil && (who.UID == 0 || int(who.UID) == os.Geteuid())
}
