package bugreport

import (
	"regexp"
	"strings"
)

// People write codes, seeds and bytes in groups of one length with the same
// character between. Such a row is one secret.

var (
	// words are what groups are; an escaped line break is none of it.
	words      = regexp.MustCompile(`\\+[nrtvf]|[A-Za-z0-9]+`)
	between    = regexp.MustCompile(`^(?:[ \x{a0}\x{2007}\x{2009}\x{202f}]{1,3}|\t| ?[-_,] ?|:|\.)$`)
	numeral    = regexp.MustCompile(`^[0-9]+$`)
	hexByte    = regexp.MustCompile(`^(?:0[xX])?[0-9a-fA-F]{2}$`)
	capital    = regexp.MustCompile(`^[A-Z0-9]+$`)
	alpha      = regexp.MustCompile(`^[A-Za-z]+$`)
	crockfords = regexp.MustCompile(`(?i)^[0-9a-hjkmnp-tv-z]{4,8}$`)
	anything   = regexp.MustCompile(`^[A-Za-z0-9]+$`)
)

// A row are groups, and perhaps a shorter one at the end.
type row struct {
	groups    []string
	separator string
	tail      string
}

func (r row) letters() int { return len(r.groups)*len(r.groups[0]) + len(r.tail) }

// A kind of row, and when it is a secret: then a longer one is one, too.
type rowKind struct {
	group  *regexp.Regexp
	secret func(row) bool
	mark   string
}

// rowKinds: the first that fits says what stands in a row's place.
var rowKinds = []rowKind{
	{hexByte, isBytes, hidden},
	{numeral, isCode, digits},
	{capital, isSeed, hidden},
	{anything, isMixed, hidden},
	{crockfords, isCrockford, hidden},
	{alpha, isWordsOfASeed, hidden},
}

func isBytes(r row) bool {
	return len(r.groups) >= 6 && (strings.TrimLeft(strings.Join(r.groups, ""), "0123456789") != "" || r.separator != " ")
}

// isCode: dots and colons are of versions and times.
func isCode(r row) bool {
	list := strings.Contains(r.separator, ",")
	return !strings.ContainsAny(r.separator, ".:") && len(r.groups) > 1 && len(r.groups)*len(r.groups[0]) >= 6 && (!list || len(r.groups[0]) <= 2) && len(r.groups[0]) <= 5
}

// seeded: no sentence has commas, dots or colons between each two words.
func seeded(r row, least int) bool {
	return len(r.groups) > 1 && r.letters() >= least && !strings.ContainsAny(r.separator, ",.:")
}

func isSeed(r row) bool {
	return seeded(r, 16) || seeded(r, 12) && hasBoth(strings.Join(r.groups, "")+r.tail)
}

// isMixed: a group with letters and digits is no word; single letters are none
// anyway.
func isMixed(r row) bool {
	if !seeded(r, 15) {
		return false
	}
	if len(r.groups[0]) < 3 {
		return hasBoth(strings.Join(r.groups, ""))
	}
	for _, g := range append(r.groups, r.tail) {
		if hasBoth(g) {
			return true
		}
	}
	return false
}

func hasBoth(s string) bool {
	return digit.MatchString(s) && (lower.MatchString(s) || upper.MatchString(s))
}

// isCrockford are the groups of emergency codes, in small letters too.
func isCrockford(r row) bool { return r.separator == "-" && len(r.groups) > 2 }

// isWordsOfASeed: four words of four letters, or two of eight with a hyphen, are
// rather a seed without a digit.
func isWordsOfASeed(r row) bool {
	return seeded(r, 16) && (len(r.groups[0]) == 4 || len(r.groups[0]) == 8 && r.separator == "-")
}

// hideGroups replaces rows that are secrets.
func hideGroups(text string) string {
	var out strings.Builder
	f := finder{text: text, words: words.FindAllStringIndex(text, -1), barren: make([]int, len(rowKinds))}
	at := 0
	for i := 0; i < len(f.words); {
		n, mark := f.secretRow(i)
		if n == 0 {
			i++
			continue
		}
		out.WriteString(text[at:f.words[i][0]] + mark)
		at = f.words[i+n-1][1]
		i += n
	}
	return out.String() + text[at:]
}

// A finder finds rows in a text. A row that is no secret has none in it, so that
// it is looked at once: barren is where it ends, by kind.
type finder struct {
	text   string
	words  [][]int
	barren []int
}

// secretRow is how many words from the i-th on are a secret in groups, 0 for
// none.
func (f *finder) secretRow(i int) (int, string) {
	for kind, k := range rowKinds {
		if i < f.barren[kind] {
			continue
		}
		r := k.row(f.text, f.words[i:])
		n := len(r.groups)
		switch {
		case n == 0:
		case !k.secret(r):
			f.barren[kind] = i + n - 1 // the last one may begin another
		case r.tail != "":
			return n + 1, k.mark
		default:
			return n, k.mark
		}
	}
	return 0, ""
}

// row is the longest row of a kind that the next words begin with.
func (k rowKind) row(text string, found [][]int) row {
	var r row
	for i, w := range found {
		word := text[w[0]:w[1]]
		if !k.group.MatchString(word) || common[strings.ToLower(word)] {
			break
		}
		if i > 0 && !r.goesOn(text[found[i-1][1]:w[0]]) {
			break
		}
		if i > 0 && len(word) != len(r.groups[0]) {
			if i > 1 && len(word) < len(r.groups[0]) {
				r.tail = word
			}
			break
		}
		r.groups = append(r.groups, word)
	}
	return r
}

// goesOn: what stands between two groups stands between all.
func (r *row) goesOn(separator string) bool {
	if len(r.groups) == 1 && between.MatchString(separator) {
		r.separator = separator
	}
	return r.separator == separator
}

// common are words that a seed does not have, and that end a row: sentences of
// our texts have many of four letters, and of as many as a key's name.
var common = wordSet(`user with that name from this file have been does when your less than port time open must into only more were them they each some
	also used line lost host root sudo sshd says wait what here both auth kind mode read sent ends last next back
	private machine message service session account allowed refused expired unknown changed removed missing command
	latchkey password prohibit postgres security critical identity provider internal external received rejected`)

func wordSet(list string) map[string]bool {
	set := map[string]bool{}
	for _, w := range strings.Fields(list) {
		set[w] = true
	}
	return set
}
