//go:build linux

package main

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// old unpacks the server's data of an earlier version.
func old(t *testing.T, archive string) string {
	t.Helper()
	dir := t.TempDir()
	if out, err := exec.Command("tar", "-xzf", archive, "-C", dir, "used/data").CombinedOutput(); err != nil {
		t.Fatalf("tar: %v %s", err, out)
	}
	data := filepath.Join(dir, "used", "data")
	if err := errors.Join(os.Chmod(data, 0o700), os.Chmod(filepath.Join(data, "latchkey.db"), 0o600)); err != nil {
		t.Fatal(err)
	}
	return data
}

func earlier(t *testing.T) []string {
	t.Helper()
	all, err := filepath.Glob("../../test/vectors/upgrade/*.tar.gz")
	if err != nil || len(all) == 0 {
		t.Fatalf("no archives: %v", err)
	}
	return all
}

// schemaOf is the number of a database's schema, looked at from outside.
func schemaOf(t *testing.T, dir string) (number int) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(dir, "latchkey.db")+"?_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	var whole string
	err = errors.Join(db.QueryRow("SELECT max(number) FROM migrations").Scan(&number), db.QueryRow("PRAGMA integrity_check").Scan(&whole), db.Close())
	if err != nil || whole != "ok" {
		t.Fatalf("%s: %v %s", dir, err, whole)
	}
	return number
}

func TestEveryVerbOfTheConsoleOpensAnEarlierDatabase(t *testing.T) {
	t.Parallel()
	for _, archive := range earlier(t) {
		t.Run(filepath.Base(archive), func(t *testing.T) {
			t.Parallel()
			dir := old(t, archive)
			out := filepath.Join(t.TempDir(), "backup")
			for _, args := range [][]string{
				{"config", "check", "--data", dir}, {"audit", "verify", "--data", dir}, {"admin", "list", "--data", dir},
				{"backup", "--data", dir, "--out", out}, {"restore", out, "--data", filepath.Join(t.TempDir(), "other"), "--key-file", filepath.Join(dir, "master.key")},
			} {
				if text, err := exec.Command("latchkey", args...).CombinedOutput(); err != nil {
					t.Errorf("latchkey %q: %v %s", args, err, text)
				}
			}
		})
	}
}

// F03 for upgrades: whenever the power fails, the database is of the one version
// or of the other, and the next start goes on from there.
func TestAnUpgradeThatIsKilledLeavesOneVersionOrTheOther(t *testing.T) {
	t.Parallel()
	archive := earlier(t)[0]
	whole := old(t, archive)
	from, began := schemaOf(t, whole), time.Now()
	check := func(dir string) *exec.Cmd { return exec.Command("latchkey", "config", "check", "--data", dir) }
	if out, err := check(whole).CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	took, to := time.Since(began), schemaOf(t, whole)
	if to <= from {
		t.Fatalf("the schema went from %d to %d: make an archive of a version with an earlier one", from, to)
	}
	const kills = 16
	seen := map[int]int{}
	for i := range kills {
		dir := old(t, archive)
		ctx, cancel := context.WithTimeout(t.Context(), took*time.Duration(i+1)/kills)
		cmd := check(dir)
		killed := exec.CommandContext(ctx, cmd.Path, cmd.Args[1:]...) // ends with SIGKILL
		killed.Env = os.Environ()
		_ = killed.Run() // that it was killed is no news
		cancel()
		got := schemaOf(t, dir)
		if got != from && got != to {
			t.Errorf("killed after %v, the schema is %d, neither %d nor %d", took*time.Duration(i+1)/kills, got, from, to)
		}
		seen[got]++
		if out, err := check(dir).CombinedOutput(); err != nil || schemaOf(t, dir) != to {
			t.Errorf("after a kill: %v %s", err, out)
		}
	}
	t.Logf("left behind, by schema: %v", seen)
}

func TestANewerDatabaseIsLeftAlone(t *testing.T) {
	t.Parallel()
	dir := old(t, earlier(t)[0])
	db, err := sql.Open("sqlite", filepath.Join(dir, "latchkey.db"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.Exec("WITH RECURSIVE n(i) AS (SELECT 4 UNION ALL SELECT i+1 FROM n WHERE i < 99) INSERT INTO migrations SELECT i, 'of tomorrow', 0 FROM n")
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(filepath.Join(dir, "latchkey.db"))
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("latchkey", "serve", "--data", dir, "--listen", "127.0.0.1:0", "--agent-listen", "127.0.0.1:0").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "newer than this program") || !strings.Contains(string(out), "hint: ") {
		t.Errorf("%v %s", err, out)
	}
	after, err := os.ReadFile(filepath.Join(dir, "latchkey.db"))
	if err != nil || len(before) != len(after) || schemaOf(t, dir) != 99 {
		t.Errorf("it was changed: %d bytes, then %d, %v", len(before), len(after), err)
	}
}
