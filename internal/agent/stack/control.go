package stack

import (
	"fmt"
	"strings"
)

// A Code is the result of a PAM module, with libpam's numbers
// (security/_pam_types.h).
type Code int8

// The codes that this package names. Success is zero because libpam says so;
// nothing here is let in for being zero: an empty stack ends in PermDenied.
const (
	Success         Code = 0
	PermDenied      Code = 6
	AuthErr         Code = 7
	AuthinfoUnavail Code = 9
	NewAuthtokReqd  Code = 12
	CredUnavail     Code = 15
	Ignored         Code = 25
	ModuleUnknown   Code = 28
	incomplete      Code = 31
)

// codeNames are the words for codes in a [value=action] control.
var codeNames = [...]string{
	"success", "open_err", "symbol_err", "service_err", "system_err", "buf_err", "perm_denied", "auth_err",
	"cred_insufficient", "authinfo_unavail", "user_unknown", "maxtries", "new_authtok_reqd", "acct_expired",
	"session_err", "cred_unavail", "cred_expired", "cred_err", "no_module_data", "conv_err", "authtok_err",
	"authtok_recover_err", "authtok_lock_busy", "authtok_disable_aging", "try_again", "ignore", "abort",
	"authtok_expired", "module_unknown", "bad_item", "conv_again", "incomplete",
}

const codes = len(codeNames)

func (c Code) String() string {
	if c < 0 || int(c) >= codes {
		return fmt.Sprintf("code %d", int(c))
	}
	return codeNames[c]
}

// An action is what a control makes of a result. Above zero it is the number
// of lines to jump over.
type action int16

const (
	bad action = 0 - iota // so that a missing action fails the stack
	ok
	done
	die
	ignore
	reset
	undefined
)

var actionNames = []struct {
	name string
	act  action
}{{"ignore", ignore}, {"ok", ok}, {"done", done}, {"bad", bad}, {"die", die}, {"reset", reset}}

// actions say what to do with each result.
type actions [codes]action

func all(a action) actions {
	var set actions
	for i := range set {
		set[i] = a
	}
	return set
}

func (a *actions) fill(with action) {
	for i := range a {
		if a[i] == undefined {
			a[i] = with
		}
	}
}

// keyword returns the actions of a control that is one word (pam.conf(5)).
func keyword(word string) (actions, bool) {
	set := all(undefined)
	set[Success], set[NewAuthtokReqd] = ok, ok
	switch strings.ToLower(word) {
	case "required":
		set[Ignored] = ignore
		set.fill(bad)
	case "requisite":
		set[Ignored] = ignore
		set.fill(die)
	case "optional":
		set.fill(ignore)
	case "sufficient":
		set[Success], set[NewAuthtokReqd] = done, done
		set.fill(ignore)
	default:
		return set, false
	}
	return set, true
}

// parseControl reads the inside of a [value=action …] control. One that libpam
// does not understand fails the stack whatever the module says; so does ours,
// and says why.
func parseControl(s string) (actions, error) {
	set := all(undefined)
	for {
		s = strings.TrimLeft(s, spaces)
		if s == "" {
			set.fill(bad)
			return set, nil
		}
		var code Code
		var act action
		var err error
		if code, s, err = parseValue(s); err == nil {
			act, s, err = parseAction(s)
		}
		if err != nil {
			return all(bad), fmt.Errorf("control [%s]: %w", s, err)
		}
		if int(code) == codes {
			set.fill(act)
		} else {
			set[code] = act
		}
	}
}

// spaces are those of isspace(3).
const spaces = " \t\n\v\f\r"

// parseValue reads "value =". The value default has the number codes.
func parseValue(s string) (Code, string, error) {
	code := -1
	for i, name := range codeNames {
		if rest, ok := strings.CutPrefix(s, name); ok {
			code, s = i, rest
			break
		}
	}
	if rest, ok := strings.CutPrefix(s, "default"); ok && code < 0 {
		code, s = codes, rest
	}
	if code < 0 {
		return 0, s, fmt.Errorf("no result of a module")
	}
	rest, ok := strings.CutPrefix(strings.TrimLeft(s, spaces), "=")
	if !ok {
		return 0, s, fmt.Errorf("no = after %s", Code(code))
	}
	return Code(code), strings.TrimLeft(rest, spaces), nil
}

// maxJump is far above any stack; libpam would overflow further up.
const maxJump = 10_000

func parseAction(s string) (action, string, error) {
	for _, a := range actionNames {
		if rest, ok := strings.CutPrefix(s, a.name); ok {
			return a.act, rest, nil
		}
	}
	n := 0
	rest := s
	for rest != "" && rest[0] >= '0' && rest[0] <= '9' && n <= maxJump {
		n = n*10 + int(rest[0]-'0')
		rest = rest[1:]
	}
	if n == 0 || n > maxJump {
		return bad, s, fmt.Errorf("no action and no jump")
	}
	return action(n), rest, nil
}
