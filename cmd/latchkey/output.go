package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
)

// print writes v as JSON where scripts asked for it, else what text writes.
func (p *program) print(v any, text func(w io.Writer)) error {
	if !p.json {
		text(p.out)
		return nil
	}
	e := json.NewEncoder(p.out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// say is print for a verb whose result is one line.
func (p *program) say(v any, format string, args ...any) error {
	return p.print(v, func(w io.Writer) { fmt.Fprintln(w, visible(fmt.Sprintf(format, args...))) })
}

// none is the JSON of a verb that has nothing to show.
type none struct{}

// A table is rows under headings, for people or as CSV.
type table struct {
	head []string
	rows [][]string
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// write lays the table out for people. What could move the cursor is escaped:
// names come from machines that may be hostile.
func (t *table) write(w io.Writer) {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range append([][]string{t.head}, t.rows...) {
		var line []string
		for _, c := range row {
			line = append(line, visible(orDash(c)))
		}
		fmt.Fprintln(tw, strings.TrimRight(strings.Join(line, "\t"), "\t "))
	}
	_ = tw.Flush() // a closed pipe: nobody reads on
}

// csv writes the table so that no spreadsheet takes a cell for a formula.
func (t *table) csv(w io.Writer) error {
	c := csv.NewWriter(w)
	for _, row := range append([][]string{t.head}, t.rows...) {
		var line []string
		for _, cell := range row {
			line = append(line, inert(cell))
		}
		if err := c.Write(line); err != nil {
			return err
		}
	}
	c.Flush()
	return c.Error()
}

func inert(cell string) string {
	// Spreadsheets of East Asian languages read the wide ones as well.
	if strings.IndexAny(cell, "=+-@\t\r\n＝＋－＠") == 0 {
		return "'" + cell
	}
	return cell
}

// visible writes what cannot be printed as an escape.
func visible(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return s
	}
	q := strconv.QuoteToGraphic(s)
	return strings.NewReplacer(`\"`, `"`).Replace(q[1 : len(q)-1])
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func when(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

func whenever(t *time.Time) string {
	if t == nil {
		return ""
	}
	return when(*t)
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
