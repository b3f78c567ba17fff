package pam

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
)

const (
	anaUID   = 4201
	password = "labpw1"
	// crypt of the password above.
	shadowHash = "$6$lklklklk$uhSSYfN3cnPAuyd.hNnDFURPwxp1WhQyk/6q9OW2cVRXjZ87TyzRbCwlRVhnn5w/JMZqMVYxN2/lP/nIxUazd1"
)

// A lab is a private view of /etc/pam.d, the user database, sudoers and /run,
// in a mount namespace per command: the machine itself is not touched.
type lab struct {
	t    *testing.T
	b    built
	a    *agent
	dir  string
	home string
}

// passwordThenCode is the stack the documentation recommends.
var passwordThenCode = []string{
	"auth requisite pam_unix.so",
	"auth required MODULE socket=SOCKET",
	"account required pam_unix.so",
	"account required MODULE socket=SOCKET",
	"session required pam_permit.so",
}

func newLab(t *testing.T, a *agent, service string, lines ...string) *lab {
	t.Helper()
	b := artifacts(t)
	dir, err := os.MkdirTemp("", "lkl")
	check(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	check(t, os.Chmod(dir, 0o755))
	l := &lab{t: t, b: b, a: a, dir: dir, home: filepath.Join(dir, "home")}
	check(t, os.MkdirAll(filepath.Join(l.home, ".ssh"), 0o755))
	check(t, os.MkdirAll(filepath.Join(dir, "pam.d"), 0o755))
	text := strings.NewReplacer("MODULE", b.module, "SOCKET", a.Socket).Replace(strings.Join(lines, "\n") + "\n")
	l.write("pam.d/"+service, text, 0o644)
	l.write("pam.d/other", "auth required pam_deny.so\naccount required pam_deny.so\n", 0o644)
	l.write("passwd", fmt.Sprintf("root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\nsshd:x:100:65534::/run/sshd:/bin/false\n"+
		"ana:x:%d:%d::%s:/bin/sh\nbo:x:4202:4202::/tmp:/bin/sh\n", anaUID, anaUID, l.home), 0o644)
	l.write("shadow", "root:*:19000:0:99999:7:::\nana:"+shadowHash+":19000:0:99999:7:::\nbo:"+shadowHash+":19000:0:99999:7:::\n", 0o640)
	l.write("group", fmt.Sprintf("root:x:0:\nnogroup:x:65534:\nshadow:x:42:\ntty:x:5:\nana:x:%d:\nbo:x:4202:\n", anaUID), 0o644)
	l.write("sudoers", "Defaults !lecture, passwd_tries=1, timestamp_type=global\nana ALL=(ALL) ALL\n", 0o440)
	l.write("nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\n", 0o644)
	return l
}

func (l *lab) write(name, text string, mode os.FileMode) {
	l.t.Helper()
	check(l.t, os.WriteFile(filepath.Join(l.dir, name), []byte(text), mode))
	check(l.t, os.Chmod(filepath.Join(l.dir, name), mode))
}

// command runs in the lab; its mounts end with it.
func (l *lab) command(args ...string) *exec.Cmd {
	script := "set -e; for f in passwd shadow group sudoers nsswitch.conf pam.d; do mount --bind " + l.dir + "/$f /etc/$f; done; " +
		"mount -t tmpfs -o mode=755 lab /run; mkdir -p /run/sshd; exec \"$@\""
	cmd := exec.Command("unshare", append([]string{"-m", "--propagation", "private", "sh", "-c", script, "sh"}, args...)...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", "TERM=dumb"}
	cmd.Dir = "/"
	return cmd
}

// asAna runs a shell command as an ordinary user.
func (l *lab) asAna(shell string) *exec.Cmd {
	id := fmt.Sprint(anaUID)
	return l.command("setpriv", "--reuid", id, "--regid", id, "--clear-groups", "sh", "-c", shell)
}

// A terminal is a program on a pseudo terminal.
type terminal struct {
	t    *testing.T
	cmd  *exec.Cmd
	tty  *os.File
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{}
	seen int
}

func onTerminal(t *testing.T, cmd *exec.Cmd) *terminal {
	t.Helper()
	tty, err := pty.Start(cmd)
	check(t, err)
	term := &terminal{t: t, cmd: cmd, tty: tty, more: make(chan struct{}, 1)}
	go term.copy()
	t.Cleanup(func() { tty.Close(); cmd.Process.Kill(); cmd.Wait() })
	return term
}

func (s *terminal) copy() {
	defer close(s.more)
	buf := make([]byte, 4096)
	for {
		n, err := s.tty.Read(buf)
		s.mu.Lock()
		s.text.Write(buf[:n])
		s.mu.Unlock()
		if err != nil {
			return
		}
		select {
		case s.more <- struct{}{}:
		default:
		}
	}
}

// Until waits for text after what was waited for before.
func (s *terminal) Until(text string) {
	s.t.Helper()
	limit := time.After(40 * time.Second)
	for {
		s.mu.Lock()
		at := bytes.Index(s.text.Bytes()[s.seen:], []byte(text))
		if at >= 0 {
			s.seen += at + len(text)
		}
		s.mu.Unlock()
		if at >= 0 {
			return
		}
		select {
		case _, open := <-s.more:
			if !open {
				s.mu.Lock()
				late := bytes.Contains(s.text.Bytes()[s.seen:], []byte(text))
				s.mu.Unlock()
				if !late {
					s.t.Fatalf("ended without %q:\n%s", text, s.All())
				}
			}
		case <-limit:
			s.t.Fatalf("no %q:\n%s", text, s.All())
		}
	}
}

// Type waits for a prompt and answers it with a line.
func (s *terminal) Type(prompt, line string) {
	s.t.Helper()
	s.Until(prompt)
	_, err := io.WriteString(s.tty, line+"\n")
	check(s.t, err)
}

// Interrupt presses Ctrl-C until the program ends: sudo misses one that comes
// between its prompt and its read.
func (s *terminal) Interrupt() string {
	s.t.Helper()
	again := time.NewTicker(time.Second / 2)
	defer again.Stop()
	for limit := time.After(40 * time.Second); ; {
		s.tty.Write([]byte{3})
		select {
		case _, open := <-s.more:
			if !open {
				return s.End()
			}
		case <-again.C:
		case <-limit:
			s.t.Fatalf("does not end:\n%s", s.All())
		}
	}
}

// End waits for the program to end.
func (s *terminal) End() string {
	s.t.Helper()
	limit := time.After(40 * time.Second)
	for {
		select {
		case _, open := <-s.more:
			if !open {
				s.cmd.Wait()
				return s.All()
			}
		case <-limit:
			s.t.Fatalf("does not end:\n%s", s.All())
		}
	}
}

func (s *terminal) All() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// sshd starts a server in the lab and returns a function that makes clients.
func (l *lab) sshd(config string) func(options ...string) *exec.Cmd {
	l.t.Helper()
	key, host := filepath.Join(l.dir, "key"), filepath.Join(l.dir, "host")
	for _, f := range []string{key, host} {
		out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f).CombinedOutput()
		if err != nil {
			l.t.Fatalf("%v\n%s", err, out)
		}
	}
	public, err := os.ReadFile(key + ".pub")
	check(l.t, err)
	l.write("home/.ssh/authorized_keys", string(public), 0o644)
	port := freePort(l.t)
	l.write("sshd_config", fmt.Sprintf("Port %d\nListenAddress 127.0.0.1\nHostKey %s\nPidFile none\nUsePAM yes\nStrictModes no\nLogLevel VERBOSE\nUseDNS no\n%s\n", port, host, config), 0o600)
	log := filepath.Join(l.dir, "sshd.log")
	cmd := l.command("/usr/sbin/sshd", "-D", "-f", filepath.Join(l.dir, "sshd_config"), "-E", log)
	check(l.t, cmd.Start())
	l.t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if text, err := os.ReadFile(log); err == nil && l.t.Failed() {
			l.t.Logf("sshd:\n%s", text)
		}
	})
	waitForPort(l.t, port)
	return func(options ...string) *exec.Cmd {
		args := append([]string{"-F", "/dev/null", "-p", fmt.Sprint(port), "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
			"-o", "NumberOfPasswordPrompts=1", "-o", "IdentitiesOnly=yes", "-o", "LogLevel=INFO", "-i", key}, options...)
		return exec.Command("ssh", append(args, "ana@127.0.0.1", "id")...)
	}
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func waitForPort(t *testing.T, port int) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			c.Close()
			return
		}
		time.Sleep(20 * time.Millisecond) // another process: nothing to wait on
	}
	t.Fatal("sshd does not listen")
}
