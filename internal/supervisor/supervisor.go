// Package supervisor tells the service manager how the program is, in the
// protocol of sd_notify(3).
//
// It refuses to matter: without a service manager, or with one that does not
// listen, nothing happens and nobody waits.
package supervisor

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// The variables in which a service manager says that it wants to be told.
const (
	socketVariable   = "NOTIFY_SOCKET"
	intervalVariable = "WATCHDOG_USEC"
)

// Ready says that the program serves; after Reloading, that it is done.
func Ready() { tell("READY=1") }

// Reloading says that the program reads its settings again. Ready has to follow.
func Reloading() {
	state := "RELOADING=1"
	if usec, ok := monotonic(); ok { // systemd 253 and later want it
		state += fmt.Sprintf("\nMONOTONIC_USEC=%d", usec)
	}
	tell(state)
}

// Stopping says that the program ends, and takes its time to.
func Stopping() { tell("STOPPING=1") }

// Say shows one line in the service's status.
func Say(line string) { tell("STATUS=" + strings.Join(strings.Fields(line), " ")) }

func tell(state string) {
	path := os.Getenv(socketVariable)
	if path == "" {
		return
	}
	if path[0] == '@' {
		path = "\x00" + path[1:]
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return
	}
	defer conn.Close()
	_, _ = conn.Write([]byte(state)) // nobody else could be told
}

// Watch tells the service manager twice per its interval that the program
// works, until ctx ends: alive returns only when it does.
func Watch(ctx context.Context, alive func()) {
	usec, err := strconv.ParseInt(os.Getenv(intervalVariable), 10, 64)
	if err != nil || usec <= 0 {
		return
	}
	t := time.NewTicker(time.Duration(usec) * time.Microsecond / 2)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			alive()
			tell("WATCHDOG=1")
		}
	}
}
