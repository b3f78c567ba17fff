package ipc

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Modes of the endpoints. Front-ends run as anybody (a screen locker runs as
// its user), so the login socket is open to all and every caller is judged by
// his uid; the admin socket is root's.
const (
	LoginMode fs.FileMode = 0o666
	AdminMode fs.FileMode = 0o600
	dirMode   fs.FileMode = 0o755
)

// ErrInUse: another agent listens there.
var ErrInUse = errors.New("another agent listens on this socket")

// Listen makes a Unix socket with the given mode. Its directory is made where
// it is missing; one that somebody else could write is refused, because he
// could put a socket of his own there. A socket that nobody listens on any
// more is replaced.
func Listen(path string, mode fs.FileMode) (*net.UnixListener, error) {
	if err := safeDir(filepath.Dir(path)); err != nil {
		return nil, err
	}
	if err := clearStale(path); err != nil {
		return nil, err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("making socket: %w", err)
	}
	l.SetUnlinkOnClose(false) // the agent has no right to, once it runs as its own user
	if err := os.Chmod(path, mode); err != nil {
		_ = l.Close()
		return nil, fmt.Errorf("making socket: %w", err)
	}
	return l, nil
}

func safeDir(dir string) error {
	if err := os.MkdirAll(dir, dirMode); err != nil {
		return fmt.Errorf("making socket: %w", err)
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("making socket: %w", err)
	}
	if !info.IsDir() || info.Mode().Perm()&0o022 != 0 || !ownedByUs(info) {
		return fmt.Errorf("making socket: %s must be a directory of root's that nobody else may write", dir)
	}
	return nil
}

func clearStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("making socket: %w", err)
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("making socket: %s is there and is no socket", path)
	}
	if conn, err := net.DialTimeout("unix", path, time.Second); err == nil {
		_ = conn.Close()
		return fmt.Errorf("%w: %s", ErrInUse, path)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("making socket: %w", err)
	}
	return nil
}

// firstActivated is the first descriptor that systemd hands over
// (sd_listen_fds(3)).
const firstActivated = 3

// Activated returns the sockets that systemd made, by the FileDescriptorName
// of their socket units. It is empty where there are none, and reads the
// environment only once: the variables are removed.
func Activated() (map[string]net.Listener, error) {
	pid, fds, names := os.Getenv("LISTEN_PID"), os.Getenv("LISTEN_FDS"), os.Getenv("LISTEN_FDNAMES")
	for _, name := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
		_ = os.Unsetenv(name)
	}
	if pid != strconv.Itoa(os.Getpid()) || fds == "" {
		return nil, nil
	}
	return adopt(fds, names)
}

func adopt(fds, names string) (map[string]net.Listener, error) {
	n, err := strconv.Atoi(fds)
	named := strings.Split(names, ":")
	if err != nil || n < 1 || n > 16 || len(named) != n {
		return nil, fmt.Errorf("taking sockets from systemd: %q sockets with the names %q", fds, names)
	}
	found := map[string]net.Listener{}
	for i, name := range named {
		f := os.NewFile(uintptr(firstActivated+i), name)
		l, err := net.FileListener(f)
		_ = f.Close() // the listener has its own copy
		if err != nil {
			return nil, fmt.Errorf("taking socket %q from systemd: %w", name, err)
		}
		if u, ok := l.(*net.UnixListener); ok {
			u.SetUnlinkOnClose(false)
		}
		found[name] = l
	}
	return found, nil
}
