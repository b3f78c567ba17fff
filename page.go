package latchkey

import "slices"

// MaxPage is the most rows that one page of a list can have.
const MaxPage = 1000

// endless is the limit of a page that is the whole list.
const endless = 1 << 62

// A Page is a part of a list whose rows are in the order of a key. The zero
// Page is the whole list.
type Page struct {
	After []string // key of the last row before the page; nil: from the beginning
	Limit int      // rows, 1 to MaxPage; 0: all that are left
}

// Fetch is how many rows to ask for: one more than the page has tells whether
// it is the last.
func (p Page) Fetch() int64 {
	if p.Limit == 0 {
		return endless
	}
	return int64(p.Limit) + 1
}

// Key is the n words of After; empty ones come before all.
func (p Page) Key(n int) []string {
	return append(slices.Clone(p.After), make([]string, max(0, n-len(p.After)))...)[:n]
}

// Cut makes a page of the rows that were fetched for it. next is the key of its
// last row where there are more, else nil.
func Cut[T any](p Page, rows []T, key func(T) []string) (page []T, next []string) {
	if p.Limit == 0 || len(rows) <= p.Limit {
		return rows, nil
	}
	page = rows[:p.Limit]
	return page, key(page[p.Limit-1])
}

// CutFrom makes a page of a whole list, whatever its order is. It returns
// Conflict where the row that the page begins after has left the list.
func CutFrom[T any](p Page, all []T, key func(T) string) (page []T, next []string, err error) {
	if p.After != nil {
		i := slices.IndexFunc(all, func(row T) bool { return slices.Equal(p.After, []string{key(row)}) })
		if i < 0 {
			return nil, nil, Errorf(Conflict, "the list has changed meanwhile").WithHint("read it from the beginning")
		}
		all = all[i+1:]
	}
	page, next = Cut(p, all, func(row T) []string { return []string{key(row)} })
	return page, next, nil
}
