package bugreport

import (
	"net/netip"
	"regexp"
	"strings"
)

var (
	address  = regexp.MustCompile(`(?i)\b(otpauth|otpauth-migration|postgres|postgresql|mysql|mariadb|mongodb(?:\+srv)?|rediss?|amqps?|ldaps?)://[^\s"'\[]+`)
	userinfo = regexp.MustCompile(`(?i)\b([a-z][a-z0-9+.-]*://)[^\s"'<>]*@`)
	driver   = regexp.MustCompile(`[^\s:/@"'=,;()\[\]{}<>]*:[^\s@"'/]+@`)
	marked   = regexp.MustCompile(`\blk[a-z0-9]_[A-Za-z0-9_-]+`)
	bearer   = regexp.MustCompile(`(?i)\b(bearer|basic)\s+\S+`)
	netrc    = regexp.MustCompile(`(?i)\b(login\s+\S+\s+password\s+|identified\s+by\s+)("[^"]*"?|'[^']*'?|\S+)`)
	// pgpass is host:port:database:user:password.
	pgpass  = regexp.MustCompile(`[^\s:"'=,{}<>()]+:(?:\d{1,5}|\*):[^\s:"']+:[^\s:"']+:\S+`)
	bytesOf = regexp.MustCompile(`\b\d{1,3}(?:(?:, ?| )\d{1,3}){7,}\b`) // a key that was printed as numbers
	escaped = regexp.MustCompile(`(?i)[^\s]*(?:(?:\\+x|%|\\+u00)[0-9a-f]{2}[^\s]*){4,}`)
	hexed   = regexp.MustCompile(`(?i)\b0x[0-9a-f]{12,}`)
)

// hideMarked replaces secrets that say what they are, and bytes.
func hideMarked(text string) string {
	text = address.ReplaceAllString(text, "$1://"+hidden)
	text = userinfo.ReplaceAllString(text, "$1"+hidden+"@")
	text = driver.ReplaceAllString(text, hidden+"@")
	text = marked.ReplaceAllString(text, hidden)
	text = bearer.ReplaceAllString(text, "$1 "+hidden)
	text = netrc.ReplaceAllString(text, "$1"+hidden)
	text = pgpass.ReplaceAllStringFunc(text, hidePgpass)
	text = bytesOf.ReplaceAllString(text, hidden)
	text = hexed.ReplaceAllString(text, hidden)
	return escaped.ReplaceAllString(text, hidden)
}

// hidePgpass leaves addresses of IP version 6, which have as many colons.
func hidePgpass(text string) string {
	bare := strings.TrimRight(text, ".,:;)]")
	if _, err := netip.ParseAddr(bare); err == nil {
		return text
	}
	return hidden
}

// strongKey names what is a secret however it is written. weakKey is a word of
// our texts too ("did not answer: …"): only a sign or quotes make it a key.
// lineKey takes all that follows in the line.
const (
	strongKey = `[a-z0-9_-]*(?:pass|secret|token|seed|bindpw|api_?key|private|credential)[a-z0-9_-]*|(?:[a-z0-9]+[_-])*(?:pwd|pw|psk|pin|pins)`
	weakKey   = `answer|proof|nonce|otp|totp|hotp|(?:identity|sealing|signing)_key`
	lineKey   = `(?:proxy-)?authorization|(?:set-)?cookie`
)

var (
	// A head is what stands before a secret: the key, its quote, what follows.
	head      = regexp.MustCompile(`(?i)(-{0,2})\b(?:(` + lineKey + `)|(` + weakKey + `)|(` + strongKey + `))\b(\\*["'` + "`" + `]|)(\s*(?:=>|:=|->|[=:>,])\s*|\s+)`)
	headAtEnd = regexp.MustCompile(`(?i)\b(?:` + lineKey + `|` + weakKey + `|` + strongKey + `)\b(?:\\*["'` + "`" + `])?\s*(?:=>|:=|->|[=:>])\s*\[?$`)
	quote     = regexp.MustCompile("^\\\\*[\"'`]")
	number    = regexp.MustCompile(`^\S*\d`)
	// spaced are settings of programs that put no sign between.
	spaced = regexp.MustCompile(`(?i)^(requirepass|masterauth|(?:root)?(?:bind)?pw)$`)
)

// asksForSecret: what follows this text is one.
func asksForSecret(text string) bool { return headAtEnd.MatchString(text) }

// hideSettings replaces the values of keys that name a secret.
func hideSettings(text string) string {
	var out strings.Builder
	for {
		m := head.FindStringSubmatchIndex(text)
		if m == nil {
			return out.String() + text
		}
		end := valueOfHead(text, m)
		if end <= m[1] {
			out.WriteString(text[:m[1]])
			text = text[m[1]:]
			continue
		}
		out.WriteString(text[:m[1]] + hidden)
		text = text[max(end, m[1]+chained(text[m[1]:], end-m[1])):]
	}
}

// chained is where the value ends of a key that is the end of another's value.
func chained(text string, end int) int {
	for at := 0; at < end; {
		m := head.FindStringSubmatchIndex(text[at:])
		if m == nil || at+m[0] >= end {
			return end
		}
		if at+m[1] >= end {
			return max(end, at+valueOfHead(text[at:], m))
		}
		at += m[1]
	}
	return end
}

// valueOfHead is where the value ends that a head stands before; where it
// begins, if the head is an ordinary word of a text.
func valueOfHead(text string, m []int) int {
	at := m[1]
	dashed, quoted, sign := m[2] < m[3], m[10] < m[11], strings.TrimSpace(text[m[12]:m[13]])
	switch {
	case sign == ":" && (strings.HasSuffix(text[:m[0]], "/etc/") || strings.HasPrefix(text[at:], "//")): // a path, or an address
		return at
	case sign == ",", sign == "":
		if !dashed && !quoted && !(sign == "" && bare(text, m)) {
			return at
		}
	case m[6] >= 0 && sign == ":" && !quoted: // weak
		return at
	}
	if m[4] >= 0 && !quote.MatchString(text[at:]) {
		return at + len(line1(text[at:]))
	}
	return valueEnd(text, at)
}

// bare: a value may follow its key without any sign if it is in quotes, or has
// a digit, or is known to.
func bare(text string, m []int) bool {
	if m[8] < 0 {
		return false
	}
	next := text[m[1]:]
	return quote.MatchString(next) || number.MatchString(next) || spaced.MatchString(text[m[8]:m[9]])
}

// valueEnd is where a value ends: at its closing quote or bracket, else at a
// space. Without one it ends with the text.
func valueEnd(text string, at int) int {
	if q := quote.FindString(text[at:]); q != "" {
		return quotedEnd(text, at+len(q), q)
	}
	if at < len(text) && strings.IndexByte("[{(", text[at]) >= 0 {
		return bracketEnd(text, at)
	}
	if space := strings.IndexAny(text[at:], " \t\r\n"); space >= 0 {
		return at + space
	}
	return len(text)
}

// quotedEnd looks for a quote with no more backslashes than the opening one had:
// others belong to the value.
func quotedEnd(text string, at int, opening string) int {
	slashes := 0
	for ; at < len(text); at++ {
		switch {
		case text[at] == '\\':
			slashes++
			continue
		case text[at] == opening[len(opening)-1] && slashes < len(opening):
			return at + 1
		}
		slashes = 0
	}
	return at
}

func bracketEnd(text string, at int) int {
	depth := 0
	for ; at < len(text); at++ {
		switch text[at] {
		case '[', '{', '(':
			depth++
		case ']', '}', ')':
			if depth--; depth == 0 {
				return at + 1
			}
		}
	}
	return at
}
