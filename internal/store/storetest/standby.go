//go:build unix

package storetest

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
)

// File writes a file that PostgreSQL, and nobody else without root's rights, can
// read, and returns its path.
func (c *Cluster) File(name string, content []byte) (string, error) {
	path := filepath.Join(c.dir, name)
	if err := os.WriteFile(path, content, 0o600); err != nil || c.as == nil {
		return path, err
	}
	return path, os.Chown(path, int(c.as.Uid), int(c.as.Gid))
}

// Listen makes the cluster listen at addresses of this machine too, under more
// settings, as in postgresql.conf, and returns the port.
func (c *Cluster) Listen(addresses string, settings ...string) (port int, err error) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	if err := free.Close(); err != nil {
		return 0, err
	}
	c.Stop()
	c.port = free.Addr().(*net.TCPAddr).Port
	c.settings = append(append(c.settings, "listen_addresses="+addresses), settings...)
	return c.port, c.Start()
}

// Standby makes a copy of the cluster in another folder that follows it, and
// starts it. From then on nothing is committed here that the copy does not have
// on its disk.
func (c *Cluster) Standby(dir string) (*Cluster, error) {
	s := &Cluster{dir: dir, bin: c.bin, settings: c.settings, port: c.port}
	if err := s.unprivileged(); err != nil {
		return nil, err
	}
	base := s.command("pg_basebackup", "-h", c.dir, "-p", strconv.Itoa(c.port), "-U", superuser, "-D", s.data(), "--write-recovery-conf", "--checkpoint=fast", "--no-sync")
	if out, err := base.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("copying a cluster: %w\n%s", err, out)
	}
	if err := s.Start(); err != nil {
		return nil, err
	}
	for _, statement := range []string{"ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()"} {
		if err := c.Administer(context.Background(), statement); err != nil {
			return nil, err
		}
	}
	return s, c.until("SELECT EXISTS (SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync')")
}

// Promote makes a standby the one that may be written to.
func (c *Cluster) Promote() error {
	for _, statement := range []string{"ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_promote(true, 60)", "SELECT pg_reload_conf()"} {
		if err := c.Administer(context.Background(), statement); err != nil {
			return err
		}
	}
	return c.until("SELECT NOT pg_is_in_recovery()")
}

// until waits until PostgreSQL answers a question with yes.
func (c *Cluster) until(question string) error {
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		var yes bool
		conn, err := pgx.Connect(context.Background(), c.url(superuser, "postgres"))
		if err == nil {
			err = conn.QueryRow(context.Background(), question).Scan(&yes)
			conn.Close(context.Background())
		}
		if err != nil || yes {
			return err
		}
	}
	return fmt.Errorf("it never became so: %s", question)
}

// With is the address of a database that is in this cluster or, when that is not
// there or may not be written to, in another.
func (c *Cluster) With(other *Cluster, address string) (string, error) {
	config, err := pgx.ParseConfig(address)
	if err != nil {
		return "", err
	}
	return "postgres://" + config.User + "@/" + config.Database + "?host=" + c.dir + "," + other.dir, nil
}
