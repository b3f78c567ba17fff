//go:build linux

package main

import (
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"latchkey/internal/store"
)

// A filling writes rows that nobody asks for, so that those somebody asks for
// are few among many: straight into the database of a server that is stopped,
// as the API would take days.
type filling struct {
	db *sql.DB
	tx *sql.Tx
}

// fill opens a server's database for one filling, which do writes.
func (s *server) fill(do func(f *filling) error) error {
	path := filepath.Join(s.data, store.DatabaseFile)
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=journal_mode(WAL)&_pragma=synchronous(OFF)&_pragma=cache_size(-1000000)&_pragma=foreign_keys(OFF)")
	if err != nil {
		return err
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	f := &filling{db: db}
	if f.tx, err = db.Begin(); err != nil {
		return err
	}
	defer f.tx.Rollback() // after the commit it does nothing
	if err := do(f); err != nil {
		return err
	}
	if err := f.tx.Commit(); err != nil {
		return err
	}
	_, err = db.Exec("PRAGMA wal_checkpoint(TRUNCATE)")
	return err
}

// atOnce is how many rows one statement writes.
const atOnce = 200

// rows writes the rows from number from up to before to. values returns those
// of one row.
func (f *filling) rows(table, columns string, from, to int, values func(n int) []any) error {
	width := strings.Count(columns, ",") + 1
	place := "(" + strings.TrimSuffix(strings.Repeat("?,", width), ",") + ")"
	head := "INSERT INTO " + table + " (" + columns + ") VALUES "
	for ; from < to; from += atOnce {
		n := min(atOnce, to-from)
		all := make([]any, 0, n*width)
		for i := range n {
			all = append(all, values(from+i)...)
		}
		if _, err := f.tx.Exec(head+strings.TrimSuffix(strings.Repeat(place+",", n), ","), all...); err != nil {
			return fmt.Errorf("filling %s: %w", table, err)
		}
	}
	return nil
}

// filler names a row as the server does: ids are spread over the whole range.
func filler(prefix string, n int) string {
	sum := sha256.Sum256(fmt.Append(nil, prefix, n))
	return prefix + "_" + hex.EncodeToString(sum[:16])
}

// people adds users, each with an authenticator and a machine of his own.
func (f *filling) people(from, to int) error {
	now := time.Now().UnixMilli()
	for _, t := range []struct {
		table, columns string
		values         func(n int) []any
	}{
		{"users", "id, name, fold, directory, created_at", func(n int) []any {
			name := fmt.Sprintf("filler%d", n)
			return []any{filler("usr", n), name, name, "builtin", now}
		}},
		{"machines", "id, name, fold, state, mode, unknown_users, match_local, trust_on_enforced, os, agent_version, key_class, identity_hash, sealing_key, created_at", func(n int) []any {
			name, key := fmt.Sprintf("filler-%d", n), sha256.Sum256(fmt.Append(nil, n))
			return []any{filler("mch", n), name, name, "active", "default", "deny", true, false, "linux", "bench", "S", key[:], make([]byte, 65), now}
		}},
		{"authenticators", "id, user_id, kind, label, algorithm, digits, period, wrapped, created_at", func(n int) []any {
			return []any{filler("aut", n), filler("usr", n), "totp", "", "SHA1", 6, 30, make([]byte, 64), now}
		}},
		{"enrollments", "user_id, machine_id, seen_at, uid, enrolled_at, anchor, version", func(n int) []any {
			return []any{filler("usr", n), filler("mch", n), now, 1000, now, now, now}
		}},
	} {
		if err := f.rows(t.table, t.columns, from, to, t.values); err != nil {
			return err
		}
	}
	return nil
}

// events adds logins to the audit trail. They are not sealed yet.
func (f *filling) events(n int) error {
	now := time.Now().UnixMilli()
	const columns = "id, time, kind, user_id, user_name, machine_id, host, outcome, reason, scenario, logon, detail"
	return f.rows("events", columns, 0, n, func(n int) []any {
		at := now - int64(n)
		return []any{
			fmt.Sprintf("evt_%012x%020x", at, n), at, "logon", filler("usr", n), fmt.Sprintf("filler%d", n), filler("mch", n),
			fmt.Sprintf("filler-%d", n), "allow", "verified_online", "console", filler("x", n), `{"policy":"default","row":"7"}`,
		}
	})
}
