package agent

import (
	"time"

	"latchkey"
	"latchkey/internal/vault"
)

// A Status is what `latchkey-agent status --json` prints. Fields may be added,
// never renamed.
type Status struct {
	Machine    string            `json:"machine"`
	Server     string            `json:"server"`
	Online     bool              `json:"online"` // the server answered when it was last asked
	LastSyncAt *time.Time        `json:"last_sync_at"`
	KeyClass   latchkey.KeyClass `json:"key_class"`
	Users      []User            `json:"users"`

	Version       string                `json:"version"`
	Mode          latchkey.Mode         `json:"mode"`
	State         latchkey.MachineState `json:"state,omitempty"` // as the server told it last
	Problem       string                `json:"problem,omitempty"`
	PendingEvents int                   `json:"pending_events"`
	LostEvents    uint64                `json:"lost_events"`
	ClockBehind   bool                  `json:"clock_behind"`
	Corrupt       bool                  `json:"state_corrupt"`
	Alarms        map[string]int        `json:"alarms"`
	Settings      string                `json:"settings_problem,omitempty"` // why the settings file was refused
}

// A User is what one user could do here without the server.
type User struct {
	User           string          `json:"user"`
	LoginsLeft     *int            `json:"logins_left"` // what he can still do; null: not counted, or no offline login at all
	ValidUntil     *time.Time      `json:"valid_until"` // null: no offline login
	Authenticators []latchkey.Kind `json:"authenticators"`
	Enrolled       bool            `json:"enrolled"`
	Locked         bool            `json:"locked"`
	Denied         latchkey.Reason `json:"denied,omitempty"`
	// Tokens are the hardware tokens whose codes the machine holds.
	Tokens   []TokenCodes `json:"tokens,omitempty"`
	Ready    bool         `json:"ready"`               // a login at the console now would ask him, or let him in
	NotReady string       `json:"not_ready,omitempty"` // else: what he would read
}

// TokenCodes is how many codes of a hardware token the machine holds still.
type TokenCodes struct {
	ID        latchkey.AuthenticatorID `json:"id"`
	Label     string                   `json:"label,omitempty"`
	CodesLeft int                      `json:"codes_left"`
}

// Status says how the agent is.
func (a *Agent) Status() Status {
	v, s := a.vault.Status(), a.syncer.State()
	heard, wrong := a.server.Contact()
	st := Status{
		Machine: a.who.Name, Server: first(a.who.URLs), Online: !heard.IsZero() && wrong == "", KeyClass: a.class,
		Users: []User{}, Version: Version, Mode: v.Settings.Mode, State: s.Machine, Problem: s.Problem,
		PendingEvents: v.Pending, LostEvents: v.Lost, ClockBehind: v.Behind, Corrupt: v.Corrupt, Alarms: a.alarms.counts(),
		Settings: a.settingsProblem(),
	}
	if !v.Signed {
		st.Mode = latchkey.Enforce // what is not signed reads as strict
	}
	if v.Removed {
		st.State = latchkey.Removed
	}
	if at := s.At.UTC().Truncate(time.Second); !s.At.IsZero() {
		st.LastSyncAt = &at
	} else if at := v.SignedAt.UTC().Truncate(time.Second); !v.SignedAt.IsZero() {
		st.LastSyncAt = &at // before this start
	}
	for _, u := range v.Users {
		st.Users = append(st.Users, userOf(u))
	}
	return st
}

func userOf(u vault.UserStatus) User {
	out := User{
		User: u.User, Authenticators: u.Authenticators, Enrolled: u.Enrolled, Locked: u.Locked, Denied: u.Denied,
		Ready: u.Ready, NotReady: u.Why,
	}
	for _, t := range u.Tokens {
		out.Tokens = append(out.Tokens, TokenCodes{t.ID, t.Label, t.Left})
	}
	if out.Authenticators == nil {
		out.Authenticators = []latchkey.Kind{}
	}
	if u.Left == nil {
		return out
	}
	if u.Left.Counted {
		left := u.Left.Logins
		out.LoginsLeft = &left
	}
	if !u.Left.Until.IsZero() {
		until := u.Left.Until.UTC()
		out.ValidUntil = &until
	}
	return out
}

// Offline says what one user could do here without the server.
func (a *Agent) Offline(name string) (User, error) {
	for _, u := range a.Status().Users {
		if latchkey.FoldName(u.User) == latchkey.FoldName(name) {
			return u, nil
		}
	}
	return User{}, latchkey.Errorf(latchkey.NotFound, "nobody named %q was seen on this machine", name).
		WithHint("a user is known here after the first login while the server can be reached")
}

func first(all []string) string {
	if len(all) == 0 {
		return ""
	}
	return all[0]
}
