package store

import (
	"context"
	"database/sql"
	"fmt"
)

// Statistics say how large a database is and of which version. They hold
// nothing of what is in it.
type Statistics struct {
	Engine   string           `json:"engine"`
	Schema   int              `json:"schema_number"`
	Bytes    int64            `json:"bytes"`
	Unsealed int64            `json:"unsealed_rows"`
	Rows     map[string]int64 `json:"rows"` // by table
}

// Statistics counts the rows of every table: it reads all of the database.
func (db *DB) Statistics(ctx context.Context) (s Statistics, err error) {
	s = Statistics{Engine: "postgresql", Rows: map[string]int64{}}
	tables := "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
	if _, ok := db.on.(*embedded); ok {
		s.Engine, tables = "sqlite", "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
	}
	if err := db.row(ctx, "SELECT max(number) FROM migrations").Scan(&s.Schema); err != nil {
		return s, fmt.Errorf("reading the schema's number: %w", err)
	}
	if s.Bytes, err = db.Size(ctx); err != nil {
		return s, err
	}
	if s.Unsealed, err = db.Unsealed(ctx); err != nil {
		return s, err
	}
	var names []string
	err = db.query(ctx, func(r *sql.Rows) error {
		var n string
		err := r.Scan(&n)
		names = append(names, n)
		return err
	}, tables)
	if err != nil {
		return s, err
	}
	for _, t := range names {
		var n int64
		if err := db.row(ctx, `SELECT count(*) FROM "`+t+`"`).Scan(&n); err != nil {
			return s, fmt.Errorf("counting %s: %w", t, err)
		}
		s.Rows[t] = n
	}
	return s, nil
}
