package vault

import (
	"slices"

	"latchkey"
	"latchkey/internal/bundle"
)

// TokenCodes is how many codes of a hardware token the machine holds still.
type TokenCodes struct {
	ID    latchkey.AuthenticatorID
	Label string
	Left  int
}

// tokens are the user's hardware tokens whose codes are here.
func (s *scene) tokens() []TokenCodes {
	var out []TokenCodes
	for _, c := range s.entry.Credentials {
		if b := s.entry.books[c.ID]; c.Kind == latchkey.HOTP && b != nil {
			out = append(out, TokenCodes{c.ID, c.Label, s.codesLeft(c, b)})
		}
	}
	return out
}

func (s *scene) codesLeft(c bundle.Credential, b *bundle.Book) int {
	last, some := b.Last()
	next := s.state(c).Next
	if !some || next > last {
		return 0
	}
	return int(last - next + 1)
}

// remaining is what the user can still do here: what is left of the allowance,
// or of his tokens' codes where every login takes one of them.
func (v *Vault) remaining(s *scene) *latchkey.Left {
	l := v.left(s)
	if l == nil || !s.needsToken() {
		return l
	}
	codes := 0
	for _, t := range s.tokens() {
		codes += t.Left
	}
	if !l.Counted || codes < l.Logins {
		l.Counted, l.Logins = true, codes
	}
	return l
}

// needsToken reports whether there are too few kinds for a login without a code
// of a hardware token, and enough with one.
func (s *scene) needsToken() bool {
	p := s.entry.Policy
	kinds := slices.DeleteFunc(s.entry.kinds(), func(k latchkey.Kind) bool { return !slices.Contains(p.Factors.Offline, k) })
	required := max(1, p.Factors.Required)
	return slices.Contains(kinds, latchkey.HOTP) && len(kinds) >= required && len(kinds)-1 < required
}
