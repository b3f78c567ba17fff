package bugreport

import (
	"net/netip"
	"regexp"
	"strings"
)

var (
	home  = regexp.MustCompile(`(/home/|/run/user/)([^/\s"':]+)`)
	mail  = regexp.MustCompile(`[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+`)
	host  = regexp.MustCompile(`(?i)\b(https?://)([^/\s"':]+|\[[0-9a-f:.]+\])`)
	ipish = regexp.MustCompile(`[0-9A-Fa-f:.]*[0-9A-Fa-f]+[:.][0-9A-Fa-f:.]+`)
)

// names replaces names and addresses.
func (s *Scrub) names(text string) string {
	text = mail.ReplaceAllStringFunc(text, func(m string) string { return s.Name("mail", m) })
	text = host.ReplaceAllStringFunc(text, func(m string) string {
		p := host.FindStringSubmatch(m)
		if _, err := netip.ParseAddr(strings.Trim(p[2], "[]")); err == nil {
			return m // it is looked at below
		}
		return p[1] + s.Name("host", p[2])
	})
	text = home.ReplaceAllStringFunc(text, func(m string) string {
		p := home.FindStringSubmatch(m)
		return p[1] + s.Name("user", p[2])
	})
	text = ipish.ReplaceAllStringFunc(text, s.ip)
	return s.replaceKnown(text)
}

// ip replaces an address, with or without a port, unless it is this machine's
// own.
func (s *Scrub) ip(text string) string {
	bare, end := strings.TrimRight(text, ".:"), ""
	end = text[len(bare):]
	if a, err := netip.ParseAddr(bare); err == nil {
		return s.address(a, bare) + end
	}
	if i := strings.LastIndexByte(bare, ':'); i > 0 {
		if a, err := netip.ParseAddr(bare[:i]); err == nil {
			return s.address(a, bare[:i]) + bare[i:] + end
		}
	}
	return text
}

func (s *Scrub) address(a netip.Addr, text string) string {
	if a.IsLoopback() || a.IsUnspecified() {
		return text
	}
	return s.Name("ip", a.String())
}

// piece is what names consist of, with other characters between.
var piece = regexp.MustCompile(`[\pL\pN]+`)

// window is how many pieces a name may have.
const window = 6

// replaceKnown replaces the names that Know told of, where they stand alone.
func (s *Scrub) replaceKnown(text string) string {
	var out strings.Builder
	pieces, at := piece.FindAllStringIndex(text, -1), 0
	for i := 0; i < len(pieces); {
		n := s.longest(text, pieces[i:])
		if n == 0 {
			i++
			continue
		}
		from, to := pieces[i][0], pieces[i+n-1][1]
		out.WriteString(text[at:from] + s.Name("name", text[from:to]))
		i, at = i+n, to
	}
	return out.String() + text[at:]
}

// longest is how many of the next pieces make a known name; 0 for none.
func (s *Scrub) longest(text string, pieces [][]int) int {
	for n := min(window, len(pieces)); n > 0; n-- {
		if _, ok := s.known[strings.ToLower(text[pieces[0][0]:pieces[n-1][1]])]; ok {
			return n
		}
	}
	return 0
}
