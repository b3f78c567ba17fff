//go:build unix

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"latchkey"
)

// alone holds a data directory for one server, until it is closed or the process
// ends, however it ends.
func alone(dir string) (io.Closer, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("holding the data directory: %w", err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = latchkey.Errorf(latchkey.Busy, "another server runs on %s", dir).
			WithHint("one directory, one server; several share a PostgreSQL: --database")
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
