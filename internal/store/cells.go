package store

import (
	"database/sql"
	"database/sql/driver"
	"fmt"
	"reflect"
)

// Cells are one row as a driver gives it. They scan as a row of database/sql
// does, into fewer types: what does not fit is an error, never converted.
type cells []driver.Value

// Scan copies the cells.
func (c cells) Scan(dest ...any) error {
	if len(dest) != len(c) {
		return fmt.Errorf("%d columns for %d values", len(c), len(dest))
	}
	for i, d := range dest {
		if !put(d, c[i]) {
			return fmt.Errorf("column %d: %T does not fit into %T", i+1, c[i], d)
		}
	}
	return nil
}

// put stores a value where a pointer points to, and reports whether it fits.
func put(dest any, v driver.Value) (fits bool) {
	switch d := dest.(type) {
	case *sql.NullInt64:
		d.Int64, d.Valid = v.(int64)
		return d.Valid || v == nil
	case *sql.NullString:
		d.String, d.Valid = v.(string)
		return d.Valid || v == nil
	case *sql.NullBool:
		d.Bool, d.Valid = truth(v)
		return d.Valid || v == nil
	case *[]byte:
		*d, fits = v.([]byte)
		return fits || v == nil
	case *int64:
		*d, fits = v.(int64)
		return fits
	case *bool:
		*d, fits = truth(v)
		return fits
	}
	return putText(dest, v)
}

// putText stores text where a pointer to any kind of string points to.
func putText(dest any, v driver.Value) (fits bool) {
	text, fits := v.(string)
	if to := reflect.ValueOf(dest); fits && to.Kind() == reflect.Pointer && to.Elem().Kind() == reflect.String {
		to.Elem().SetString(text)
		return true
	}
	return false
}

// truth is what SQLite, which has no booleans, keeps as 1 and 0.
func truth(v driver.Value) (is, fits bool) {
	switch b := v.(type) {
	case bool:
		return b, true
	case int64:
		return b == 1, b == 0 || b == 1
	}
	return false, false
}
