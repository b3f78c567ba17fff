package agent

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"latchkey/internal/agent/ipc"
)

// harden keeps the agent's memory out of core dumps, debuggers and swap. What
// the kernel refuses is not worth a machine without an agent.
func harden() {
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
	_ = unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY})
}

// conceal is the part of harden that a change of user undoes.
func conceal() {
	_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	// Of each thread; without cgo the runtime reaches all of them.
	_, _, _ = syscall.AllThreadsSyscall(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0)
	var limit unix.Rlimit
	// With a limit the runtime's next allocation could fail and end the agent.
	if unix.Getrlimit(unix.RLIMIT_MEMLOCK, &limit) == nil && limit.Cur == unix.RLIM_INFINITY {
		_ = unix.Mlockall(unix.MCL_CURRENT | unix.MCL_FUTURE | unix.MCL_ONFAULT)
	}
}

// become makes the process the named user's for good, all its threads
// (syscall.Setuid does; see AllThreadsSyscall). The name is looked up in
// /etc/passwd alone.
func become(name string) error {
	account, err := ipc.Lookup("", name)
	if err != nil {
		return fmt.Errorf("becoming %s: %w", name, err)
	}
	uid, gid := int(account.UID), int(account.GID)
	if uid == os.Geteuid() {
		return nil
	}
	err = errors.Join(syscall.Setgroups([]int{gid}), syscall.Setgid(gid), syscall.Setuid(uid))
	if err != nil {
		return fmt.Errorf("becoming %s: %w", name, err)
	}
	if os.Getuid() != uid || os.Geteuid() != uid || os.Getegid() != gid {
		return fmt.Errorf("becoming %s: the process is still uid %d", name, os.Geteuid())
	}
	if uid != 0 && syscall.Setuid(0) == nil {
		return fmt.Errorf("becoming %s: the way back is open", name)
	}
	return nil
}
