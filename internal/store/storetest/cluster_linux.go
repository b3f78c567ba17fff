package storetest

import "syscall"

// processAttributes: who PostgreSQL runs as, and that it ends with the tests.
func processAttributes(as *syscall.Credential) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: as, Setpgid: true, Pdeathsig: syscall.SIGQUIT}
}
