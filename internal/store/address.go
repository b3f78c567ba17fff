package store

import (
	"errors"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"latchkey"
)

// CheckAddress refuses an address of a database that cannot be right, before
// anything is made.
func CheckAddress(address string) error {
	_, err := parseAddress(address)
	return err
}

// parseAddress reads a postgres:// address. Its errors never repeat it: what
// looks like a port may be a password.
func parseAddress(address string) (*pgx.ConnConfig, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return nil, latchkey.Errorf(latchkey.Invalid, "the address of a database begins with postgres://").
			WithHint("for example postgres://latchkey@db.example/latchkey")
	}
	query := u.Query()
	if _, has := u.User.Password(); has || query.Has("password") || query.Has("sslpassword") {
		return nil, latchkey.Errorf(latchkey.Invalid, "there is a password in the address of the database, where every user of this machine can read it").
			WithHint("write a line HOST:PORT:DATABASE:USER:PASSWORD into a file of mode 0600, and name the file in PGPASSFILE")
	}
	if err := checkPassFile(query.Get("passfile")); err != nil {
		return nil, err
	}
	if !query.Has("sslmode") && os.Getenv("PGSSLMODE") == "" && !local(u) {
		query.Set("sslmode", "verify-full")
		u.RawQuery = query.Encode()
	}
	c, err := pgx.ParseConfig(u.String())
	if err != nil {
		return nil, latchkey.Errorf(latchkey.Invalid, "the address of the database, or one of the PG variables in the environment, cannot be used").
			WithHint("is it of the form postgres://USER@HOST:PORT/DATABASE?sslmode=verify-full&sslrootcert=FILE, and are its files there?")
	}
	if c.ValidateConnect == nil { // of several hosts, the one that may be written to
		c.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	return c, nil
}

// local reports whether the way to the database does not leave this machine:
// only then does it go unencrypted where nobody says how.
func local(u *url.URL) bool {
	hosts := []string{u.Hostname()}
	if h := u.Query().Get("host"); h != "" {
		hosts = strings.Split(h, ",")
	} else if strings.Contains(u.Host, ",") {
		return false
	}
	for _, h := range hosts {
		ip := net.ParseIP(h)
		here := h == "" && os.Getenv("PGHOST") == "" || h == "localhost" || strings.HasPrefix(h, "/") || ip != nil && ip.IsLoopback()
		if !here {
			return false
		}
	}
	return true
}

// checkPassFile refuses a file of passwords that others can read: it has to be
// changed, not used.
func checkPassFile(path string) error {
	if path == "" {
		path = os.Getenv("PGPASSFILE")
	}
	if home, err := os.UserHomeDir(); path == "" && err == nil {
		path = filepath.Join(home, ".pgpass")
	}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return latchkey.Errorf(latchkey.Invalid, "the file of database passwords %s cannot be read", path)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return latchkey.Errorf(latchkey.Invalid, "the file of database passwords %s is open to other users (mode %04o)", path, info.Mode().Perm()).
			WithHint("chmod 0600 %s, and think about who may have read it", path)
	}
	return nil
}
