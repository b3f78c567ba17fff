package bugreport

import (
	"cmp"
	"net/netip"
	"regexp"
	"strings"
)

var (
	home  = regexp.MustCompile(`(/home/|/run/user/|\b(?:users|machines|groups|policies)/)([^/\s"':?]+)`)
	mail  = regexp.MustCompile(`[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+`)
	host  = regexp.MustCompile(`(?i)\b([a-z][a-z0-9+.-]*://(?:\[secret\]@)?)([^/\s"':\[\]]+|\[[0-9a-f:.]+\])`)
	ipish = regexp.MustCompile(`[0-9A-Fa-f:.]*[0-9A-Fa-f]+[:.][0-9A-Fa-f:.]+`)

	// syslog is what a log puts before each line: a time, the host, the program.
	syslog = regexp.MustCompile(`((?:^|\b|<\d+>)(?:[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d|\d{4}-\d\d-\d\d[T ]\S+) )(\S+)( [^\s:\[\]]+(?:\[\S*\])?: ?)`)
	// pair is a name as loggers, PAM and documents that were cut have it.
	pair = regexp.MustCompile(`(?i)\b(users?|ruser|username|logname|actor|owner|admin|rhost|host|hostname|machine|policy|groups?|email|principal)((?:\\*["'])?\s*[=:]\s*(?:\\*["'])|=)([^\s"'\\,;{}()\[\]]+)`)
	// told is a name that a text speaks of.
	told = regexp.MustCompile(`(?i)\b(user|machine|policy|group|admin|administrator|host|account|named)( \\*["'])([^"'\\]+)`)
	sshd = regexp.MustCompile(`\b((?i:invalid|illegal|for) user |(?:Accepted|Failed|Postponed) \S+ for (?:invalid user )?)([^\s"'():\[\],]+)`)
)

// names replaces names and addresses.
func (s *Scrub) names(text string) string {
	text = s.namedHere(text)
	text = mail.ReplaceAllStringFunc(text, func(m string) string { return s.Name("mail", m) })
	text = host.ReplaceAllStringFunc(text, func(m string) string {
		p := host.FindStringSubmatch(m)
		if _, err := netip.ParseAddr(strings.Trim(p[2], "[]")); err == nil {
			return m // it is looked at below
		}
		return p[1] + s.Name("host", p[2])
	})
	text = home.ReplaceAllStringFunc(text, s.step)
	text = ipish.ReplaceAllStringFunc(text, s.ip)
	return s.replaceKnown(text)
}

// namedHere replaces what stands where a text has a name.
func (s *Scrub) namedHere(text string) string {
	text = syslog.ReplaceAllStringFunc(text, func(m string) string {
		p := syslog.FindStringSubmatch(m)
		return p[1] + s.Name("host", p[2]) + p[3]
	})
	text = pair.ReplaceAllStringFunc(text, func(m string) string {
		p := pair.FindStringSubmatch(m)
		field := strings.ToLower(p[1])
		return p[1] + p[2] + s.word(field, p[3])
	})
	text = told.ReplaceAllStringFunc(text, func(m string) string {
		p := told.FindStringSubmatch(m)
		return p[1] + p[2] + s.named(kindTold(p[1]), p[3])
	})
	return sshd.ReplaceAllStringFunc(text, func(m string) string {
		p := sshd.FindStringSubmatch(m)
		return p[1] + s.named("user", p[2])
	})
}

func kindTold(word string) string {
	if kind := named[strings.ToLower(word)]; kind != "" {
		return kind
	}
	return "name"
}

// pseudonym is how rows are called once they were renamed.
var pseudonym = regexp.MustCompile(`^[a-z]{2,4}_[a-z]{8}$`)

// step replaces the step of a path that is a name.
func (s *Scrub) step(m string) string {
	p := home.FindStringSubmatch(m)
	if pseudonym.MatchString(p[2]) {
		return m
	}
	kind := named[strings.TrimRight(p[1], "/")]
	if p[1] == "machines/" {
		kind = "machine"
	}
	return p[1] + s.Name(cmp.Or(kind, "user"), p[2])
}

// learnPlain finds names in a text without documents.
func (s *Scrub) learnPlain(text string) {
	for _, m := range syslog.FindAllStringSubmatch(text, -1) {
		s.learnName("host", m[2])
	}
	for _, p := range pair.FindAllStringSubmatch(text, -1) {
		if kind := kindOf(strings.ToLower(p[1]), p[3]); kind == "user" || kind == "host" || kind == "machine" {
			s.learnName(kind, p[3])
		}
	}
	for _, p := range sshd.FindAllStringSubmatch(text, -1) {
		s.learnName("user", p[2])
	}
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
