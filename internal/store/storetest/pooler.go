//go:build unix

package storetest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// A Pooler is a private PgBouncer in front of a cluster.
type Pooler struct {
	dir     string
	running *exec.Cmd
}

// Pool puts a PgBouncer in front of the cluster, in session mode, with fewer
// connections than servers ask for. Its socket lies in the folder.
func (c *Cluster) Pool(dir string) (*Pooler, error) {
	if c.as != nil {
		if err := os.Chown(dir, int(c.as.Uid), int(c.as.Gid)); err != nil {
			return nil, err
		}
	}
	path, err := exec.LookPath("pgbouncer")
	if err != nil {
		return nil, errors.Join(errors.New("PgBouncer is not installed: run scripts/install-deps test"), err)
	}
	config := fmt.Sprintf(`[databases]
* = host=%s port=%d
[pgbouncer]
listen_port = 6432
unix_socket_dir = %s
unix_socket_mode = 0700
auth_type = any
pool_mode = session
max_client_conn = 200
default_pool_size = 60
`, c.dir, c.port, dir)
	config = strings.Replace(config, "* = host", "* = user="+owner+" host", 1)
	if err := os.WriteFile(filepath.Join(dir, "ini"), []byte(config), 0o644); err != nil {
		return nil, err
	}
	cmd := exec.Command(path, "--quiet", filepath.Join(dir, "ini"))
	cmd.SysProcAttr = processAttributes(c.as)
	p := &Pooler{dir, cmd}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return p, p.answers()
}

func (p *Pooler) answers() (err error) {
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		var conn *pgx.Conn
		if conn, err = pgx.Connect(context.Background(), p.URL("postgres")); err == nil {
			return conn.Close(context.Background())
		}
	}
	return fmt.Errorf("PgBouncer does not answer: %w", err)
}

// URL is the address of a database of the cluster, by way of the pooler.
func (p *Pooler) URL(database string) string {
	return fmt.Sprintf("postgres://%s@/%s?port=6432&host=%s", owner, database, url.QueryEscape(p.dir))
}

// Remove ends the pooler and deletes its folder.
func (p *Pooler) Remove() {
	_ = p.running.Process.Signal(syscall.SIGQUIT)
	_ = p.running.Wait()
	_ = os.RemoveAll(p.dir)
}
