//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"

	"golang.org/x/term"

	"latchkey/test/lab"
)

// explore leaves a world standing: a server, an enrolled laptop with sshd, and
// a shell on the laptop with the verbs to try.
func explore(s *stage) {
	l := lab.New(s)
	server := l.Serve(nil)
	server.Do("user", "add", "ana")
	phone := server.Totp("ana")
	laptop := l.Machine("laptop", nil, "ana")
	laptop.Enroll(server.MachineToken())
	laptop.RunAgent()
	laptop.ProtectAll()
	laptop.ServeSSH("keyboard-interactive")
	shell := writeShell(s, l, server, laptop, phone)

	fmt.Print(guide)
	if !term.IsTerminal(int(os.Stdin.Fd())) {
		fmt.Printf("\nThis is not a terminal; in one, as root, run\n  %s\nInterrupt (Ctrl-C) takes everything down.\n", shell)
		<-make(chan struct{}) // until the signal that main waits for
	}
	fmt.Print("Ctrl-C at the prompt, or exit, takes everything down.\n\n")
	signal.Ignore(syscall.SIGINT) // Ctrl-C is the shell's
	cmd := exec.Command(shell)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Run() // however the shell ends, the world ends with it
}

const guide = `
A Latchkey server and a laptop that is enrolled on it are up; this is the laptop.
Ana's password is "` + lab.Password + `"; the command code prints what her phone shows.
Try, in this order:

  latchkey policy explain ana laptop     what would be asked of ana, and why
  code                                   then, while it is fresh:
  login-by-ssh                           online: password, code
  latchkey-agent status                  what the laptop holds now
  cut                                    take the network away
  login-by-ssh                           offline: the prompt says what is left
  restore
  latchkey-agent sync
  latchkey audit list                    what happened, the offline login too
  latchkey enrollment list
  latchkey --help, latchkey-agent --help

`

// writeShell writes the script that opens the laptop's shell.
func writeShell(s *stage, l *lab.Lab, server *lab.Server, laptop *lab.Machine, phone *lab.Authenticator) string {
	rc := filepath.Join(l.Dir(), "bashrc")
	write(s, rc, 0o600, fmt.Sprintf(`
TERM=%s
PS1='laptop# '
# Ctrl-C at the prompt ends the shell, in a command only the command: PS0 is
# looked at before a command runs.
PS0='${none[ran=1,0]}'
PROMPT_COMMAND='[ $? != 130 ] || [ "$ran" = 1 ] || exit; ran=0'
latchkey() { %s "$@"; }
latchkey-agent() { %s "$@"; }
code() { %s; }
login-by-ssh() { %s "$@"; }
cut() { ip link set eth0 down; }
restore() { ip link set eth0 up; }
`, lab.Quote(os.Getenv("TERM")), server.Line(), lab.Quote(l.Programs().Agent), phone.Line(), laptop.SSHLine("ana")))
	shell := filepath.Join(l.Dir(), "shell")
	write(s, shell, 0o700, "#!/bin/sh\nexec "+laptop.Line("bash", "--rcfile", rc, "-i")+"\n")
	return shell
}

func write(s *stage, path string, mode os.FileMode, text string) {
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		s.Fatalf("demo: %v", err)
	}
}
