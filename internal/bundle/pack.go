package bundle

import (
	"time"

	"latchkey"
	"latchkey/internal/otp"
	"latchkey/internal/secret"
)

// A Source is an authenticator together with the means to compute its codes.
type Source struct {
	ID     latchkey.AuthenticatorID
	Kind   latchkey.Kind
	Label  string
	Digits int
	Period int
	Window int
	Next   uint64 // lowest step or counter that was never used
	Quota  int    // HOTP: number of unused codes that the machine may hold
	// Used is how many HOTP codes before Next go with them, for the machine to
	// tell a code that was used from a wrong one.
	Used  int
	Codes *otp.Generator
}

// Raw is a chunk with its codes.
type Raw struct {
	Chunk
	Codes secret.Bytes
}

// Pack fills in the header's credentials and horizon and returns the codes.
// What is issued depends on anchor, limit and sources alone, never on the time
// of the call: asking again renews nothing. It issues nothing to a user who is
// not active or has no policy or anchor.
func Pack(h Header, l latchkey.Limit, sources []Source) (Header, []Raw) {
	h.Credentials, h.Until = []Credential{}, 0
	horizon := Horizon(h.AnchorTime(), l)
	if h.Status != Active || h.Policy == nil || horizon.IsZero() {
		return h, nil
	}
	h.Until = horizon.UnixMilli()
	var all []Raw
	for _, s := range sources {
		c, raw := s.pack(h.AnchorTime(), horizon)
		if len(c.Chunks) == 0 {
			continue
		}
		h.Credentials, all = append(h.Credentials, c), append(all, raw...)
	}
	h.Enrolled = len(h.Credentials) > 0
	return h, all
}

func (s Source) pack(anchor, horizon time.Time) (Credential, []Raw) {
	c := Credential{
		ID: s.ID, Kind: s.Kind, Label: s.Label, Digits: s.Digits,
		Period: s.Period, Window: s.Window, Next: s.Next,
	}
	var all []Raw
	for _, span := range s.spans(anchor, horizon) {
		ch, codes := Make(s.Codes, s.Digits, span.From, span.Count)
		c.Chunks, all = append(c.Chunks, ch), append(all, Raw{ch, codes})
	}
	return c, all
}

// spans are the runs of steps or counters that may be issued.
func (s Source) spans(anchor, horizon time.Time) []Chunk {
	switch s.Kind {
	case latchkey.TOTP:
		from, to, ok := TOTPRange(anchor, horizon, s.Period, s.Window)
		if !ok {
			return nil
		}
		perDay := uint64(int(Day/time.Second) / s.Period)
		return Days(from/perDay*perDay, to, s.Period)
	case latchkey.HOTP:
		if s.Quota < 1 {
			return nil
		}
		used := min(s.Next, uint64(max(0, s.Used)))
		return []Chunk{{From: s.Next - used, Count: s.Quota + int(used)}}
	}
	return nil
}
