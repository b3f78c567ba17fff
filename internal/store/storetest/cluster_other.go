//go:build unix && !linux

package storetest

import "syscall"

// processAttributes: who PostgreSQL runs as.
func processAttributes(as *syscall.Credential) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: as, Setpgid: true}
}
