//go:build linux

package lab

import (
	"os"
	"path/filepath"

	"latchkey/internal/store/storetest"
)

// Postgres runs a PostgreSQL of the lab's own; its socket is in the lab's
// folder, so that servers in every cell reach it. Commits wait for the disk.
func (l *Lab) Postgres() *storetest.Cluster {
	l.tb.Helper()
	dir := filepath.Join(l.dir, "postgres")
	must(l.tb, os.Mkdir(dir, 0o700))
	c, err := storetest.NewCluster(dir)
	must(l.tb, err)
	l.tb.Cleanup(c.Remove)
	return c
}

// Standby is a copy of a PostgreSQL of the lab that follows it.
func (l *Lab) Standby(of *storetest.Cluster) *storetest.Cluster {
	l.tb.Helper()
	dir := filepath.Join(l.dir, "standby")
	must(l.tb, os.Mkdir(dir, 0o700))
	c, err := of.Standby(dir)
	must(l.tb, err)
	l.tb.Cleanup(c.Remove)
	return c
}

// ServeTwo starts two servers of one deployment on a database. The second one
// is given the master key and nothing else; agents know the addresses of both.
func (l *Lab) ServeTwo(clock *Clock, database string) (one, two *Server) {
	l.tb.Helper()
	args := []string{"--database", database, "--agent-url", agentURL(0), "--agent-url", agentURL(1)}
	one = l.newServer(0, clock, args)
	one.Start()
	one.firstAdmin("--database", database)
	key, err := os.ReadFile(filepath.Join(one.Data, "master.key"))
	must(l.tb, err)
	two = l.newServer(1, clock, append(args, "--key-file", l.file("key", string(key), 0o600)))
	two.token, two.ca = one.token, one.ca
	two.Start()
	return one, two
}
