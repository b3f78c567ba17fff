package latchkey

import (
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// DefaultPolicy is the name of the policy that always comes last.
const DefaultPolicy = "default"

// A Fallback says what happens when no factor can be asked for. Anything but
// Skip and EnrollThen reads as Deny, so that a missing field denies.
type Fallback string

// The fallbacks. EnrollThen is known to "not_enrolled" only.
const (
	Deny       Fallback = "deny"
	Skip       Fallback = "skip"
	EnrollThen Fallback = "enroll"
)

// A Count says which offline logins draw from the allowance.
type Count string

// The counts.
const (
	CountSuccesses Count = "successes"
	CountAll       Count = "all" // wrong answers draw too
)

// A Policy is one administrator-written rule for a set of users. Its JSON form
// is the policy document of the command line and the API.
type Policy struct {
	Name        string                     `json:"name"`
	Priority    int                        `json:"priority"` // the lowest wins
	Users       Subjects                   `json:"users"`
	Factors     Factors                    `json:"factors"`
	Offline     OfflineRules               `json:"offline"`
	HOTP        HOTPRules                  `json:"hotp"`
	NotEnrolled Fallback                   `json:"not_enrolled"`
	Unreachable Fallback                   `json:"unreachable"`
	TrustHours  *int                       `json:"trust_hours"` // nil: off; 1–720
	MinKeyClass KeyClass                   `json:"min_key_class"`
	LogOnly     *time.Time                 `json:"log_only_until"` // nil: off
	Protected   bool                       `json:"protected"`
	Scenarios   map[Scenario]ScenarioRules `json:"scenarios"`
}

// Factors says what a logon must prove.
type Factors struct {
	Required int    `json:"required"` // number of different kinds, at least 1
	Online   []Kind `json:"online"`   // in order of preference
	Offline  []Kind `json:"offline"`
}

// OfflineRules bound what a machine may decide alone.
type OfflineRules struct {
	Enabled  bool       `json:"enabled"`
	Days     *int       `json:"days"`   // nil: the hard maximum of the key class
	Logins   *int       `json:"logins"` // nil: not counted
	Count    Count      `json:"count"`
	Enroll   string     `json:"enroll"`    // auto, ask, mandatory
	EnrollOn string     `json:"enroll_on"` // any, own
	SpendOn  []Scenario `json:"spend_on"`
}

// HOTPRules bound how far an event token may run ahead. Quota never exceeds
// Window minus Buffer: codes handed to a machine stay findable by the server.
type HOTPRules struct {
	Window int  `json:"window"`
	Buffer int  `json:"buffer"`
	Quota  *int `json:"quota"` // nil: Window minus Buffer
}

// ScenarioRules switch one scenario.
type ScenarioRules struct {
	Ask          bool `json:"ask"`
	GraceMinutes int  `json:"grace_minutes"`
}

// BuiltinPolicy is the policy "default" that ships with the server.
func BuiltinPolicy() Policy {
	days, logins, quota := 7, 150, 30
	return Policy{
		Name: DefaultPolicy, Priority: 100, Users: Subjects{All: true},
		Factors: Factors{Required: 1, Online: slices.Clone(PolicyKinds), Offline: slices.Clone(PolicyKinds)},
		Offline: OfflineRules{
			Enabled: true, Days: &days, Logins: &logins, Count: CountSuccesses,
			Enroll: "auto", EnrollOn: "any", SpendOn: []Scenario{Console, RemoteLogon},
		},
		HOTP:        HOTPRules{Window: 35, Buffer: 5, Quota: &quota},
		NotEnrolled: Deny, Unreachable: Deny, MinKeyClass: Software,
		Scenarios: map[Scenario]ScenarioRules{},
	}
}

// Rules returns the rules of a scenario; one that the policy does not name is
// asked, without grace.
func (p Policy) Rules(s Scenario) ScenarioRules {
	if r, ok := p.Scenarios[s]; ok {
		return r
	}
	return ScenarioRules{Ask: true}
}

// Spends reports whether a login in the scenario draws from the allowance.
func (p Policy) Spends(s Scenario) bool { return slices.Contains(p.Offline.SpendOn, s) }

// LogOnlyAt reports whether the policy only records at now.
func (p Policy) LogOnlyAt(now time.Time) bool { return p.LogOnly != nil && now.Before(*p.LogOnly) }

// Limit returns the offline limit on a machine of the class.
func (p Policy) Limit(class KeyClass) Limit {
	l := Limit{Days: class.MaxOfflineDays()}
	if p.Offline.Days != nil {
		l.Days = min(l.Days, *p.Offline.Days)
	}
	if p.Offline.Logins != nil {
		l.Counted, l.Logins = true, *p.Offline.Logins
	}
	return l
}

// OfflineQuota is how many HOTP codes a machine may hold.
func (p Policy) OfflineQuota() int {
	most := max(0, p.HOTP.Window-p.HOTP.Buffer)
	if p.HOTP.Quota == nil {
		return most
	}
	return min(most, *p.HOTP.Quota)
}

// Subjects are the users of a policy: all of them, or names and "group:NAME".
type Subjects struct {
	All   bool
	Names []string
}

// Match reports whether the user is among the subjects.
func (s Subjects) Match(u User) bool {
	return s.All || slices.ContainsFunc(s.Names, func(n string) bool {
		if g, ok := strings.CutPrefix(n, "group:"); ok {
			return slices.ContainsFunc(u.Groups, func(h string) bool { return FoldName(g) == FoldName(h) })
		}
		return FoldName(n) == FoldName(u.Name)
	})
}

// MarshalJSON writes "all" or the list of names.
func (s Subjects) MarshalJSON() ([]byte, error) {
	if s.All {
		return []byte(`"all"`), nil
	}
	if s.Names == nil {
		return []byte(`[]`), nil
	}
	return json.Marshal(s.Names)
}

// UnmarshalJSON reads "all" or a list of names; nothing else.
func (s *Subjects) UnmarshalJSON(b []byte) error {
	if string(b) == `"all"` {
		*s = Subjects{All: true}
		return nil
	}
	var names []string
	if err := json.Unmarshal(b, &names); err != nil {
		return Errorf(Invalid, `users must be "all" or a list of names and "group:NAME"`)
	}
	if slices.Contains(names, "all") {
		return Errorf(Invalid, `"all" stands alone: write "users": "all"`)
	}
	*s = Subjects{Names: names}
	return nil
}
