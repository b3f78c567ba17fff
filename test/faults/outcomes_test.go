//go:build linux

package faults_test

import (
	"fmt"
	"testing"
	"time"

	"latchkey/test/lab"
)

// Where people sign in: a machine as it comes, one that asks everyone, one that
// asks nobody for a while, and one that lets strangers in.
const (
	plain    = "plain"
	enforced = "enforced"
	exempt   = "exempt"
	open     = "open"
)

// An outcome is what one person meets on one machine, with the server and then
// without it.
type outcome struct {
	user            string // the key of the table below
	machine         string
	online, offline string
}

// rules are the policies of the people of the table, and what they carry.
var rules = map[string]struct {
	policy  string
	carries string
	unknown bool // the server has never heard of the user
}{
	"usual":     {"", "totp", false},
	"silent":    {`"scenarios":{"console":{"ask":false}}`, "totp", false},
	"bare":      {"", "", false},
	"waived":    {`"not_enrolled":"skip","unreachable":"skip"`, "", false},
	"skipper":   {`"unreachable":"skip"`, "totp", false},
	"stranger":  {"", "", true},
	"watched":   {`"log_only_until":"LATER"`, "totp", false},
	"double":    {`"factors":{"required":2}`, "both", false},
	"half":      {`"factors":{"required":2}`, "totp", false},
	"grounded":  {`"offline":{"enabled":false}`, "totp", false},
	"skground":  {`"offline":{"enabled":false},"unreachable":"skip"`, "totp", false},
	"protected": {`"protected":true`, "totp", false},
	"narrow":    {`"factors":{"required":1,"offline":["hotp"]}`, "both", false},
	"strong":    {`"min_key_class":"T"`, "totp", false},
}

// outcomes are rows of the outcome table as a person meets them.
var outcomes = []outcome{
	{"usual", plain, online, offline},
	{"usual", enforced, online, offline},
	{"usual", exempt, "not-required machine_exempt", "not-required machine_exempt"}, // H04
	{"silent", plain, "not-required scenario_off", "not-required scenario_off"},
	{"silent", enforced, "not-required scenario_off", "not-required scenario_off"},
	// Who was seen on a machine is no stranger to it, also where he was not let in.
	{"bare", plain, "deny not_enrolled", "deny not_enrolled_here"},
	{"bare", enforced, "deny not_enrolled", "deny not_enrolled_here"}, // H01
	{"waived", plain, "not-required skipped_not_enrolled", "not-required skipped_unreachable"},
	{"waived", enforced, "deny not_enrolled", "deny not_enrolled_here"}, // H02
	{"skipper", plain, online, offline},                                 // who can be asked is asked
	{"skipper", enforced, online, offline},
	{"stranger", plain, "deny unknown_identity", "deny unknown_identity"},
	{"stranger", enforced, "deny unknown_identity", "deny unknown_identity"},
	{"stranger", open, "not-required not_covered", "not-required not_covered"},
	{"watched", plain, "not-required log_only", "not-required log_only"},
	{"watched", enforced, online, offline},
	{"double", plain, online, offline},
	{"half", plain, "deny not_enrolled", "deny not_enrolled_here"},
	{"grounded", plain, online, "deny server_unreachable"},
	{"skground", plain, online, "not-required skipped_unreachable"},
	{"skground", enforced, online, "deny server_unreachable"}, // H02
	{"protected", plain, online, "deny not_enrolled_here"},
	{"narrow", plain, online, offline},
	{"strong", plain, online, "deny not_enrolled_here"},
}

// answer is what a person would type, whatever is asked: the app's code, then
// the token's.
func (w *world) answer(user, carries string, without bool) []string {
	switch {
	case carries == "":
		return nil
	case user == "narrow" && without:
		return []string{w.tokens[user].Press()}
	case user == "narrow":
		return []string{"totp", w.code(user)}
	case carries == "both":
		return []string{w.code(user), w.tokens[user].Press()}
	}
	return []string{w.code(user)}
}

func TestH01H02H04EveryRowOfTheOutcomeTableIsMetAtTheDoor(t *testing.T) {
	t.Parallel()
	var people []string
	for name := range rules {
		people = append(people, name)
	}
	w := newWorld(t, nil)
	later := w.clock.Now().Add(24 * time.Hour).UTC().Format(time.RFC3339)
	var documents string
	for name, r := range rules {
		if r.unknown {
			continue
		}
		w.server.Do("user", "add", name)
		if r.carries != "" {
			w.app(name)
		}
		if r.carries == "both" {
			w.token(name)
		}
		if r.policy != "" {
			documents += fmt.Sprintf(`,{"name":%q,"priority":10,"users":[%[1]q],%s}`, name, r.policy)
		}
	}
	w.server.Policy("[" + replaced(documents[1:], "LATER", later) + "]")

	machines := map[string]*lab.Machine{}
	for _, name := range []string{plain, enforced, exempt, open} {
		machines[name] = w.machine(name, people...)
	}
	w.server.Do("machine", "enforce", enforced)
	w.server.Do("machine", "exempt", exempt, "--reason", "loan pool", "--until", "12h")
	w.server.Do("machine", "set", open, "--unknown-users", "skip")

	for _, o := range outcomes {
		got := machines[o.machine].Login(o.user, w.answer(o.user, rules[o.user].carries, false)...)
		w.want(got, o.online, o.user, "on", o.machine, "online")
	}
	for _, m := range machines {
		m.Do("sync")
		m.Cut(lab.PortsClosed)
	}
	for _, o := range outcomes {
		got := machines[o.machine].Login(o.user, w.answer(o.user, rules[o.user].carries, true)...)
		w.want(got, o.offline, o.user, "on", o.machine, "offline")
	}

	// A week later nothing has been heard, and what was for a while has ended.
	w.clock.Pass(25 * time.Hour)
	w.want(w.in(machines[plain], "watched"), "deny not_enrolled_here", "log_only_until is over")
	w.want(w.in(machines[exempt], "usual"), "deny not_enrolled_here", "H04 the exemption is over")

	// Without news for longer than any signed word is good for, nothing is
	// looser than on a machine that asks everyone.
	w.clock.Pass(31 * 24 * time.Hour)
	for _, user := range []string{"silent", "waived", "watched", "skground"} {
		if got := machines[plain].Login(user, w.answer(user, rules[user].carries, true)...); got.Code == 0 {
			t.Errorf("H11 %s was let in on a policy nobody has confirmed for 32 days:\n%s", user, got.Transcript)
		}
	}
	if got := machines[open].Login("stranger"); got.Code == 0 {
		t.Errorf("H11 a stranger was let in by settings nobody has confirmed for 32 days:\n%s", got.Transcript)
	}
}

func TestH12AFactorThatThePolicyTakesAwayIsRefusedThoughItsCodesAreThere(t *testing.T) {
	t.Parallel()
	w := newAna(t)
	w.token("ana")
	w.want(w.laptop.Login("ana", "totp", w.code("ana")), online)
	w.laptop.Do("sync")
	w.policy("ana", `"factors":{"required":1,"online":["totp","hotp"],"offline":["hotp"]}`)
	w.laptop.Do("sync")
	w.laptop.Cut(lab.PortsClosed)
	if got := w.laptop.Login("ana", "totp", w.code("ana")); got.Code == 0 {
		t.Errorf("H12 the app was taken:\n%s", got.Transcript)
	}
	w.want(w.laptop.Login("ana", w.tokens["ana"].Press()), offline)
}

func TestL03ADisenrolmentWorksAtTheNextContact(t *testing.T) {
	t.Parallel()
	w := newAna(t)
	w.ready(w.laptop, "ana")
	w.laptop.Cut(lab.Unplugged)
	w.server.Do("enrollment", "disenroll", "ana", "laptop", "--yes")
	w.want(w.in(w.laptop, "ana"), offline, "L03 the machine has not heard of it")
	var rows []struct{ User, Machine, Pending string }
	w.server.JSON(&rows, "enrollment", "list")
	if len(rows) != 1 || rows[0].Pending == "" {
		t.Errorf("L03 the report does not say that the removal is pending: %+v", rows)
	}
	w.laptop.Restore()
	w.laptop.Do("sync")
	w.laptop.Do("sync")
	w.laptop.Cut(lab.Unplugged)
	w.want(w.in(w.laptop, "ana"), "deny not_enrolled_here", "L03 after contact")
	rows = nil
	w.server.JSON(&rows, "enrollment", "list")
	for _, r := range rows {
		if r.Pending != "" {
			t.Errorf("L03 the machine has acknowledged, and the report says %+v", r)
		}
	}
}

func TestL06AUserWhoIsDeletedIsDeniedOnlineAndAfterContactOffline(t *testing.T) {
	t.Parallel()
	w := newAna(t)
	w.app("ben")
	w.ready(w.laptop, "ana")
	w.ready(w.laptop, "ben")
	w.server.Do("user", "delete", "ana", "--yes")
	w.server.Do("user", "disable", "ben", "--yes")
	if got := w.in(w.laptop, "ana"); got.Code == 0 {
		t.Errorf("L06 deleted, and let in online:\n%s", got.Transcript)
	}
	w.want(w.in(w.laptop, "ben"), "deny account_disabled")
	// No sync: the signed answer to a login is contact enough.
	w.laptop.Cut(lab.Unplugged)
	for _, user := range []string{"ana", "ben"} {
		if got := w.in(w.laptop, user); got.Code == 0 {
			t.Errorf("L06 I08 pulling the cable revived %s:\n%s", user, got.Transcript)
		}
	}
	w.want(w.in(w.laptop, "ben"), "deny account_disabled")
}

func TestI08ADenialSticksOnlyWhereItsCauseStays(t *testing.T) {
	t.Parallel()
	w := newAna(t)
	w.ready(w.laptop, "ana")

	// A mistyped code is no such cause.
	w.want(w.laptop.Login("ana", "000000"), wrong)
	w.laptop.Cut(lab.PortsClosed)
	w.want(w.in(w.laptop, "ana"), offline)
	w.laptop.Restore()

	// A disabled account is.
	w.server.Do("user", "disable", "ana", "--yes")
	w.laptop.Do("sync")
	w.want(w.in(w.laptop, "ana"), "deny account_disabled")
	w.laptop.Cut(lab.PortsClosed)
	w.want(w.in(w.laptop, "ana"), "deny account_disabled")
	w.laptop.Kill()
	w.laptop.RunAgent()
	w.want(w.in(w.laptop, "ana"), "deny account_disabled", "after a restart")

	// Until the server says something else.
	w.laptop.Restore()
	w.server.Do("user", "enable", "ana")
	w.laptop.Do("sync")
	w.laptop.Cut(lab.PortsClosed)
	w.want(w.in(w.laptop, "ana"), offline, "enabled again, and told so")
}
