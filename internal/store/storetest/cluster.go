//go:build unix

package storetest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// A Cluster is a private PostgreSQL: its data, its socket and its log lie in
// one folder.
type Cluster struct {
	dir      string
	bin      string
	settings []string
	port     int                 // of the socket too
	as       *syscall.Credential // nil: whoever runs the test
	running  *exec.Cmd
	done     chan struct{}
	made     atomic.Int64
}

// superuser makes databases, owner has them: the programs need no more than an
// owner may. Nobody else reaches the socket.
const (
	superuser = "postgres"
	owner     = "latchkey"
)

// NewCluster makes a cluster in a folder and starts it. Settings are as in
// postgresql.conf.
func NewCluster(dir string, settings ...string) (*Cluster, error) {
	bin, err := programs()
	if err != nil {
		return nil, err
	}
	c := &Cluster{dir: dir, bin: bin, settings: settings, port: 5432}
	if err := c.unprivileged(); err != nil {
		return nil, err
	}
	init := c.command("initdb", "-D", c.data(), "-U", superuser, "-A", "trust", "-E", "UTF8", "--no-sync", "--locale=C.UTF-8")
	if out, err := init.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("making a cluster: %w\n%s", err, out)
	}
	if err := c.Start(); err != nil {
		return nil, err
	}
	return c, c.Administer(context.Background(), "CREATE ROLE "+owner+" LOGIN")
}

// programs finds the newest PostgreSQL, where Debian puts it or on the PATH.
func programs() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	newest := 0
	for _, f := range found {
		n, err := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(f))))
		if err == nil && n > newest {
			newest = n
		}
	}
	if newest > 0 {
		return fmt.Sprintf("/usr/lib/postgresql/%d/bin", newest), nil
	}
	path, lookErr := exec.LookPath("postgres")
	if lookErr != nil {
		return "", errors.Join(errors.New("PostgreSQL is not installed: run scripts/install-deps test"), err)
	}
	return filepath.Dir(path), nil
}

// unprivileged gives the folder to a user without rights: PostgreSQL does not
// run as root.
func (c *Cluster) unprivileged() error {
	if os.Geteuid() != 0 {
		return nil
	}
	nobody, err := user.Lookup("nobody")
	if err != nil {
		return err
	}
	uid, err := strconv.ParseUint(nobody.Uid, 10, 32)
	if err != nil {
		return err
	}
	gid, err := strconv.ParseUint(nobody.Gid, 10, 32)
	if err != nil {
		return err
	}
	c.as = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return os.Chown(c.dir, int(uid), int(gid))
}

func (c *Cluster) data() string { return filepath.Join(c.dir, "data") }

func (c *Cluster) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(c.bin, name), args...)
	cmd.Dir = c.dir
	cmd.Env = []string{"PATH=/usr/bin:/bin", "HOME=" + c.dir, "LC_ALL=C.UTF-8", "TZ=UTC"}
	cmd.SysProcAttr = processAttributes(c.as)
	return cmd
}

// Start runs PostgreSQL, again after Stop, and waits until it answers.
func (c *Cluster) Start() error {
	args := []string{"-D", c.data(), "-k", c.dir, "-c", "listen_addresses=", "-c", fmt.Sprint("port=", c.port), "-c", "max_connections=300", "-c", "shared_buffers=32MB"}
	for _, s := range c.settings {
		args = append(args, "-c", s)
	}
	log, err := os.OpenFile(filepath.Join(c.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := c.command("postgres", args...)
	cmd.Stdout, cmd.Stderr = log, log
	c.running, c.done = cmd, make(chan struct{})
	began := make(chan error)
	go func() {
		// PostgreSQL ends with this thread, should the tests be killed. The thread
		// stays: other children may end with it too.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		began <- cmd.Start()
		_ = cmd.Wait()
		close(c.done)
	}()
	if err := <-began; err != nil {
		return err
	}
	return c.answers()
}

// answers waits until PostgreSQL takes connections.
func (c *Cluster) answers() error {
	deadline := time.Now().Add(2 * time.Minute)
	for {
		conn, err := pgx.Connect(context.Background(), c.url(superuser, "postgres"))
		if err == nil {
			return conn.Close(context.Background())
		}
		select {
		case <-c.done:
			log, _ := os.ReadFile(filepath.Join(c.dir, "log"))
			return fmt.Errorf("PostgreSQL ended at once:\n%s", log)
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("PostgreSQL does not answer: %w", err)
		}
	}
}

// Stop ends PostgreSQL as a restart does: transactions under way are undone.
func (c *Cluster) Stop() { c.end(syscall.SIGINT) }

// Crash ends PostgreSQL without any order, as "pg_ctl stop -m immediate" does.
func (c *Cluster) Crash() { c.end(syscall.SIGQUIT) }

func (c *Cluster) end(sig syscall.Signal) {
	select {
	case <-c.done:
		return
	default:
	}
	_ = c.running.Process.Signal(sig)
	select {
	case <-c.done:
	case <-time.After(time.Minute):
		_ = c.running.Process.Kill()
		<-c.done
	}
}

// Remove ends PostgreSQL and deletes its folder.
func (c *Cluster) Remove() {
	c.Crash()
	_ = os.RemoveAll(c.dir)
}

func (c *Cluster) url(user, database string) string {
	return fmt.Sprintf("postgres://%s@/%s?port=%d&host=%s", user, database, c.port, url.QueryEscape(c.dir))
}

// URL is the address of a user's own database.
func (c *Cluster) URL(user string) string { return c.url(user, user) }

// Create makes an empty database and returns its address.
func (c *Cluster) Create(ctx context.Context) (string, error) {
	name := fmt.Sprintf("test%d", c.made.Add(1))
	return c.url(owner, name), c.Administer(ctx, "CREATE DATABASE "+name+" OWNER "+owner)
}

// Drop deletes a database, with whoever is still connected to it.
func (c *Cluster) Drop(ctx context.Context, address string) error {
	u, err := url.Parse(address)
	if err != nil {
		return err
	}
	return c.Administer(ctx, "DROP DATABASE "+strings.TrimPrefix(u.Path, "/")+" WITH (FORCE)")
}

// Administer runs a statement as the superuser.
func (c *Cluster) Administer(ctx context.Context, statement string) error {
	conn, err := pgx.Connect(ctx, c.url(superuser, "postgres"))
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, statement)
	return errors.Join(err, conn.Close(ctx))
}
