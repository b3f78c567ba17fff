//go:build !linux

package clock

import (
	"crypto/rand"
	"encoding/hex"
	"sync"
	"time"
)

// started is the first reading of the process: where the system's own clock of
// the boot is not read, a boot is no longer than a process.
var started = sync.OnceValue(time.Now)

func boottime() (time.Duration, error) {
	begin := started()
	return time.Since(begin), nil
}

var bootID = sync.OnceValues(func() (string, error) {
	var b [16]byte
	_, err := rand.Read(b[:])
	return hex.EncodeToString(b[:]), err
})
