package report

import (
	"context"
	"math"
	"time"

	"latchkey"
	"latchkey/internal/api"
	"latchkey/internal/policy"
)

// A TokenUse is what the audit trail says of how somebody used hardware tokens.
type TokenUse struct {
	User    latchkey.User
	Logins  int
	Days    int           // on which there was one
	Busiest int           // most of them on one day
	Away    time.Duration // the longest time without the server
}

// perDay is the mean over the days on which he logged in: what a day of a trip
// takes.
func (t TokenUse) perDay() float64 {
	if t.Days == 0 {
		return 0
	}
	return float64(t.Logins) / float64(t.Days)
}

// away is the longest stretch in days.
func (t TokenUse) away() float64 { return t.Away.Hours() / 24 }

// A Sizing is how the sizes of codebooks are suggested.
type Sizing struct {
	Back     int // days of the audit trail that count
	Days     int // of a trip; 0: the longest that there was, but at least one
	Variance int // percent
}

// The bounds and the usual values of a sizing.
const (
	DefaultBack     = 30
	MaxBack         = 400
	DefaultVariance = 20
)

func (s Sizing) check() error {
	if s.Back < 1 || s.Back > MaxBack {
		return latchkey.Errorf(latchkey.Invalid, "between 1 and %d days of the audit trail can be counted", MaxBack)
	}
	if s.Days < 0 || s.Days > policy.MaxDays {
		return latchkey.Errorf(latchkey.Invalid, "a trip has 1 to %d days", policy.MaxDays)
	}
	if s.Variance < 0 || s.Variance > 1000 {
		return latchkey.Errorf(latchkey.Invalid, "the variance is 0 to 1000 percent")
	}
	return nil
}

// HOTPSizes says for everybody who has a hardware token how many codes his
// machine should hold, going by what he did, and whether his policy gives them.
// An empty user chooses all.
func (r *Report) HOTPSizes(ctx context.Context, user string, s Sizing, p latchkey.Page) (page []api.HOTPSize, next []string, err error) {
	if err := s.check(); err != nil {
		return nil, nil, err
	}
	rows, err := r.store.TokenUse(ctx, user, r.now().AddDate(0, 0, -s.Back), p)
	if err != nil {
		return nil, nil, err
	}
	all, err := r.store.Policies(ctx)
	if err != nil {
		return nil, nil, err
	}
	rows, next = latchkey.Cut(p, rows, func(t TokenUse) []string { return []string{latchkey.FoldName(t.User.Name), string(t.User.ID)} })
	out := make([]api.HOTPSize, 0, len(rows))
	for _, t := range rows {
		out = append(out, s.size(t, policy.Choose(all, t.User)))
	}
	return out, next, nil
}

func (s Sizing) size(t TokenUse, p *latchkey.Policy) api.HOTPSize {
	out := api.HOTPSize{
		User: t.User.Name, Logins: t.Logins, LoginDays: t.Days, PerDay: tenths(t.perDay()), Busiest: t.Busiest, Away: tenths(t.away()),
		Days: s.days(t),
	}
	if p != nil {
		out.Policy = p.Name
		out.Now = api.HOTPSettings{Window: p.HOTP.Window, Buffer: p.HOTP.Buffer, Quota: p.OfflineQuota()}
	}
	if t.Logins == 0 {
		out.Why = "no login with a token in that time"
		return out
	}
	codes, most := s.codes(t, out.Days)
	out.Suggested = &api.HOTPSettings{Window: codes + latchkey.BuiltinPolicy().HOTP.Buffer, Buffer: latchkey.BuiltinPolicy().HOTP.Buffer, Quota: codes}
	out.Why = short(out, p, most)
	out.Fits = out.Why == ""
	return out
}

// days are those to plan for: as long as he was away before.
func (s Sizing) days(t TokenUse) int {
	if s.Days > 0 {
		return s.Days
	}
	return min(policy.MaxDays, max(1, int(math.Ceil(t.away()))))
}

// codes is what the trip takes: the usual day, so many times, and the reserve;
// never less than the busiest day. most: it is as much as any policy can give,
// and not enough.
func (s Sizing) codes(t TokenUse, days int) (codes int, most bool) {
	codes = max(t.Busiest, int(math.Ceil(t.perDay()*float64(days)*float64(100+s.Variance)/100-1e-9)))
	if limit := policy.MaxWindow - latchkey.BuiltinPolicy().HOTP.Buffer; codes > limit {
		return limit, true
	}
	return codes, false
}

// short says why the policy does not give what the trip takes; "" where it does.
func short(h api.HOTPSize, p *latchkey.Policy, most bool) string {
	switch {
	case p == nil:
		return "no policy covers the user"
	case !p.Offline.Enabled:
		return "the policy switches offline logins off"
	case p.Offline.Days != nil && *p.Offline.Days < h.Days:
		return "offline.days is less than the trip"
	case p.Offline.Logins != nil && *p.Offline.Logins < h.Suggested.Quota:
		return "offline.logins is less than the trip takes"
	case most:
		return "no policy can give as many codes: plan fewer days, or another kind of authenticator"
	case h.Now.Quota < h.Suggested.Quota:
		return "the codes would run out: hotp.quota is less than the trip takes"
	}
	return ""
}

func tenths(f float64) float64 { return math.Round(f*10) / 10 }
