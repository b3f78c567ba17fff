package policy_test

import (
	"strings"
	"testing"
	"time"

	"latchkey"
	"latchkey/internal/policy"
)

func TestValidate(t *testing.T) {
	t.Parallel()
	n := func(i int) *int { return &i }
	for name, tc := range map[string]struct {
		change func(*latchkey.Policy)
		want   string // part of the error; "" for none
	}{
		"the policy that ships is fine":              {func(*latchkey.Policy) {}, ""},
		"every maximum is allowed":                   {maxima, ""},
		"null limits are allowed":                    {func(p *latchkey.Policy) { p.Offline.Days, p.Offline.Logins, p.HOTP.Quota = nil, nil, nil }, ""},
		"C13 no days":                                {func(p *latchkey.Policy) { p.Offline.Days = n(0) }, "offline.days must be 1 to 90"},
		"C13 negative days":                          {func(p *latchkey.Policy) { p.Offline.Days = n(-1) }, "offline.days"},
		"C13 a billion days":                         {func(p *latchkey.Policy) { p.Offline.Days = n(1e9) }, "offline.days"},
		"C13 91 days":                                {func(p *latchkey.Policy) { p.Offline.Days = n(91) }, "offline.days"},
		"C13 no logins":                              {func(p *latchkey.Policy) { p.Offline.Logins = n(0) }, "offline.logins must be 1 to 1000"},
		"C13 negative logins":                        {func(p *latchkey.Policy) { p.Offline.Logins = n(-1) }, "offline.logins"},
		"C13 1001 logins":                            {func(p *latchkey.Policy) { p.Offline.Logins = n(1001) }, "offline.logins"},
		"C13 trust for no hours":                     {func(p *latchkey.Policy) { p.TrustHours = n(0) }, "trust_hours must be 1 to 720"},
		"C13 trust for 31 days":                      {func(p *latchkey.Policy) { p.TrustHours = n(744) }, "trust_hours"},
		"C13 no required factor":                     {func(p *latchkey.Policy) { p.Factors.Required = 0 }, "factors.required must be 1 to 3"},
		"C13 four required factors":                  {func(p *latchkey.Policy) { p.Factors.Required = 4 }, "factors.required"},
		"C13 no window":                              {func(p *latchkey.Policy) { p.HOTP.Window = 0 }, "hotp.window must be 1 to 1000"},
		"C13 a window of 1001":                       {func(p *latchkey.Policy) { p.HOTP.Window = 1001 }, "hotp.window"},
		"a buffer as wide as the window":             {func(p *latchkey.Policy) { p.HOTP.Buffer = 35 }, "hotp.buffer must be 0 to 34"},
		"a negative buffer":                          {func(p *latchkey.Policy) { p.HOTP.Buffer = -1 }, "hotp.buffer"},
		"a quota beyond window minus buffer":         {func(p *latchkey.Policy) { p.HOTP.Quota = n(31) }, "hotp.quota must be 1 to 30"},
		"C13 no quota":                               {func(p *latchkey.Policy) { p.HOTP.Quota = n(0) }, "hotp.quota"},
		"grace of more than a day":                   {scenario(latchkey.Elevate, latchkey.ScenarioRules{Ask: true, GraceMinutes: 1441}), "scenarios.elevate.grace_minutes must be 0 to 1440"},
		"negative grace":                             {scenario(latchkey.Elevate, latchkey.ScenarioRules{Ask: true, GraceMinutes: -1}), "grace_minutes"},
		"grace for remote logons":                    {scenario(latchkey.RemoteLogon, latchkey.ScenarioRules{Ask: true, GraceMinutes: 1}), "scenarios.remote.grace_minutes must be 0"},
		"a scenario that does not exist":             {scenario("Elevate", latchkey.ScenarioRules{Ask: true}), "the scenarios are console"},
		"more factors than online kinds":             {func(p *latchkey.Policy) { p.Factors.Required, p.Factors.Online = 2, []latchkey.Kind{"totp"} }, "factors.online"},
		"more factors than offline kinds":            {func(p *latchkey.Policy) { p.Factors.Required, p.Factors.Offline = 2, []latchkey.Kind{"totp"} }, "factors.offline"},
		"no offline kinds although offline is on":    {func(p *latchkey.Policy) { p.Factors.Offline = nil }, "factors.offline"},
		"no offline kinds where offline is off":      {func(p *latchkey.Policy) { p.Factors.Offline, p.Offline.Enabled = nil, false }, ""},
		"a kind twice":                               {func(p *latchkey.Policy) { p.Factors.Online = []latchkey.Kind{"totp", "totp"} }, "lists totp twice"},
		"a kind that does not exist":                 {func(p *latchkey.Policy) { p.Factors.Online = []latchkey.Kind{"TOTP"} }, "factors.online: item 0"},
		"a bypass code as an offline factor":         {func(p *latchkey.Policy) { p.Factors.Offline = []latchkey.Kind{"bypass"} }, "factors.offline: item 0"},
		"an emergency code as a factor":              {func(p *latchkey.Policy) { p.Factors.Offline = []latchkey.Kind{"emergency"} }, "factors.offline: item 0"},
		"a count that does not exist":                {func(p *latchkey.Policy) { p.Offline.Count = "" }, "offline.count must be one of successes, all"},
		"an enrolment that does not exist":           {func(p *latchkey.Policy) { p.Offline.Enroll = "always" }, "offline.enroll must be one of"},
		"a place of enrolment that does not exist":   {func(p *latchkey.Policy) { p.Offline.EnrollOn = "all" }, "offline.enroll_on must be one of"},
		"spending on what does not exist":            {func(p *latchkey.Policy) { p.Offline.SpendOn = []latchkey.Scenario{"sudo"} }, "offline.spend_on: item 0"},
		"spending twice":                             {func(p *latchkey.Policy) { p.Offline.SpendOn = []latchkey.Scenario{"unlock", "unlock"} }, "lists unlock twice"},
		"unreachable allows no enrolment":            {func(p *latchkey.Policy) { p.Unreachable = latchkey.EnrollThen }, "unreachable must be one of deny, skip"},
		"not_enrolled is empty":                      {func(p *latchkey.Policy) { p.NotEnrolled = "" }, "not_enrolled must be one of"},
		"a key class that does not exist":            {func(p *latchkey.Policy) { p.MinKeyClass = "s" }, "min_key_class must be one of S, V, T"},
		"no name":                                    {func(p *latchkey.Policy) { p.Name = "" }, "name: the name is empty"},
		"a name that moves the cursor":               {func(p *latchkey.Policy) { p.Name = "a\x1b[2J" }, "name: "},
		"a name with a slash":                        {func(p *latchkey.Policy) { p.Name = "../default" }, "no slash"},
		"a priority below 0":                         {func(p *latchkey.Policy) { p.Priority = -1 }, "priority must be"},
		"a subject twice, in another case":           {func(p *latchkey.Policy) { p.Users = latchkey.Subjects{Names: []string{"ana", "ANA"}} }, "users: item 1 occurs twice"},
		"a group without a name":                     {func(p *latchkey.Policy) { p.Users = latchkey.Subjects{Names: []string{"group:"}} }, "users: item 0"},
		"the user and the group of one name are two": {func(p *latchkey.Policy) { p.Users = latchkey.Subjects{Names: []string{"ana", "group:ana"}} }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := latchkey.BuiltinPolicy()
			tc.change(&p)
			err := policy.Validate(p)
			switch {
			case tc.want == "" && err != nil:
				t.Errorf("Validate = %v, want nil", err)
			case tc.want != "" && (latchkey.CodeOf(err) != latchkey.Invalid || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("Validate = %v, want an invalid one with %q", err, tc.want)
			}
		})
	}
}

func maxima(p *latchkey.Policy) {
	n := func(i int) *int { return &i }
	p.Offline.Days, p.Offline.Logins, p.TrustHours = n(90), n(1000), n(720)
	p.HOTP = latchkey.HOTPRules{Window: 1000, Buffer: 0, Quota: n(1000)}
	p.Factors.Required = 3
	p.Scenarios[latchkey.Elevate] = latchkey.ScenarioRules{GraceMinutes: 1440}
}

func scenario(s latchkey.Scenario, r latchkey.ScenarioRules) func(*latchkey.Policy) {
	return func(p *latchkey.Policy) { p.Scenarios[s] = r }
}

func TestLintPointsAtWhatOpensTheDoor(t *testing.T) {
	t.Parallel()
	n := func(i int) *int { return &i }
	soon := time.Unix(1, 0)
	for name, tc := range map[string]struct {
		change func(*latchkey.Policy)
		want   string
	}{
		"unreachable":    {func(p *latchkey.Policy) { p.Unreachable = latchkey.Skip }, "unreachable=skip"},
		"not enrolled":   {func(p *latchkey.Policy) { p.NotEnrolled = latchkey.Skip }, "not_enrolled=skip"},
		"long trust":     {func(p *latchkey.Policy) { p.TrustHours = n(13) }, "trust_hours"},
		"only logging":   {func(p *latchkey.Policy) { p.LogOnly = &soon }, "log_only_until"},
		"many days":      {func(p *latchkey.Policy) { p.Offline.Days = n(15) }, "offline.days"},
		"no count":       {func(p *latchkey.Policy) { p.Offline.Logins = nil }, "offline.logins"},
		"hotp on files":  {func(*latchkey.Policy) {}, "HOTP offline"},
		"only totp":      {func(p *latchkey.Policy) { p.Factors.Offline = []latchkey.Kind{"totp"} }, "only totp"},
		"no offline":     {func(p *latchkey.Policy) { p.Offline.Enabled = false }, "offline.enabled=false"},
		"not asked":      {scenario(latchkey.Unlock, latchkey.ScenarioRules{}), "scenarios.unlock.ask=false"},
		"long grace":     {scenario(latchkey.Elevate, latchkey.ScenarioRules{Ask: true, GraceMinutes: 61}), "scenarios.elevate.grace_minutes"},
		"narrow default": {func(p *latchkey.Policy) { p.Users = latchkey.Subjects{Names: []string{"ana"}} }, "does not cover everybody"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := latchkey.BuiltinPolicy()
			tc.change(&p)
			if got := strings.Join(policy.Lint(p), "\n"); !strings.Contains(got, tc.want) {
				t.Errorf("Lint = %q, want a line with %q", got, tc.want)
			}
		})
	}
}

func TestLintIsSilentAboutAQuietPolicy(t *testing.T) {
	t.Parallel()
	p := latchkey.BuiltinPolicy()
	p.Factors.Offline = []latchkey.Kind{latchkey.FIDO2, latchkey.TOTP}
	if got := policy.Lint(p); got == nil || len(got) != 0 {
		t.Errorf("Lint = %#v, want an empty list", got)
	}
}

func TestChoose(t *testing.T) {
	t.Parallel()
	of := func(name string, priority int, users ...string) latchkey.Policy {
		return latchkey.Policy{Name: name, Priority: priority, Users: latchkey.Subjects{All: users == nil, Names: users}}
	}
	ana := latchkey.User{Name: "Ana", Groups: []string{"Staff"}}
	for name, tc := range map[string]struct {
		all  []latchkey.Policy
		want string // "" for none
	}{
		"none matches":                          {[]latchkey.Policy{of("a", 1, "ben")}, ""},
		"a name matches in another case":        {[]latchkey.Policy{of("a", 1, "ANA")}, "a"},
		"a group matches in another case":       {[]latchkey.Policy{of("a", 1, "group:staff")}, "a"},
		"a group's name is no user's":           {[]latchkey.Policy{of("a", 1, "staff")}, ""},
		"the lowest priority wins":              {[]latchkey.Policy{of("a", 2), of("b", 1)}, "b"},
		"of equal priorities the name decides":  {[]latchkey.Policy{of("b", 1), of("a", 1)}, "a"},
		"default is last whatever its priority": {[]latchkey.Policy{of("default", 0), of("z", 1000)}, "z"},
		"default where nothing else matches":    {[]latchkey.Policy{of("default", 0), of("z", 1000, "ben")}, "default"},
		"an empty list of users is nobody":      {[]latchkey.Policy{{Name: "a"}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := ""
			if p := policy.Choose(tc.all, ana); p != nil {
				got = p.Name
			}
			if got != tc.want {
				t.Errorf("Choose = %q, want %q", got, tc.want)
			}
		})
	}
}
