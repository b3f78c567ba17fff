//go:build linux

package lab

import (
	"fmt"
	"strconv"
	"strings"
)

// The lines below are for people: shell commands that do by hand what the
// methods of the same things do in tests. Further arguments may follow each.

// Line returns the shell command that runs a command in the cell.
func (c *Cell) Line(args ...string) string { return c.line(c.env, args) }

func (c *Cell) line(env, args []string) string {
	words := append([]string{"env", "-i"}, env...)
	words = append(words, "nsenter", "--target", strconv.Itoa(c.holder), "--wdns=/")
	words = append(append(words, c.enter...), "--")
	return Quote(append(words, args...)...)
}

// Line returns the shell command for an admin verb as the first administrator.
func (s *Server) Line() string {
	return s.cell.line(append(append([]string(nil), s.cell.env...), s.environ()...), []string{s.program})
}

// SSHLine returns the shell command, run on the machine, that signs in there.
func (m *Machine) SSHLine(user string) string { return Quote(m.ssh(user)...) }

// Line returns the shell command that prints the app's current code.
func (a *Authenticator) Line() string {
	return fmt.Sprintf("printf %%s %s | %s", Quote(a.secret), Quote(a.command("--totp="+a.algorithm, a.step())...))
}

// Quote returns words as the shell reads them back.
func Quote(words ...string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
	}
	return strings.Join(quoted, " ")
}
