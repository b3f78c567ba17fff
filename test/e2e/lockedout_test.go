//go:build linux

package e2e_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/test/lab"
)

// A plight is how somebody comes to be refused for a reason of the page, and
// what he does himself beside what the help desk does.
type plight struct {
	rules   string          // of his policy, beyond the default
	token   bool            // has one, and was signed in with it
	befalls func(g *reader) // right before the login that is refused
	himself func(g *reader)
}

// wrong gives so many wrong answers, each once it may be given.
func wrong(times int, apart time.Duration) func(*reader) {
	return func(g *reader) {
		for i := range times {
			if i > 0 {
				g.clock.Pass(apart)
			}
			g.laptop.Login(g.who, "000000")
		}
	}
}

func unplug(g *reader)  { g.laptop.Cut(lab.Unplugged) }
func connect(g *reader) { g.laptop.Restore(); g.laptop.Do("sync") }

// plights are those that the page knows a way out of, by reason.
var plights = map[string]plight{
	"wrong_code":        {token: true, befalls: func(g *reader) { g.devices[g.who].Counter += 100 }},
	"code_already_used": {token: true, befalls: func(g *reader) { g.devices[g.who].Counter-- }, himself: func(g *reader) { g.devices[g.who].Press() }},
	"throttled":         {token: true, befalls: wrong(5, 0)},
	"locked":            {token: true, befalls: wrong(10, 20*time.Minute)},
	"not_enrolled":      {},
	"account_disabled":  {token: true, befalls: func(g *reader) { g.server.Do("user", "disable", g.who) }},
	"offline_limit_reached": {token: true, rules: `"offline": {"logins": 1}`, himself: connect,
		befalls: func(g *reader) { unplug(g); g.laptop.Login(g.who, g.code(g.who)) }},
	"server_unreachable": {token: true, rules: `"offline": {"enabled": false}`, befalls: unplug, himself: connect},
}

// TestThePageForThoseWhoAreLockedOutSpeaksTheTruth locks somebody out for each
// reason that has a way out, does what the page says, and wants him to get in.
func TestThePageForThoseWhoAreLockedOutSpeaksTheTruth(t *testing.T) {
	t.Parallel()
	text := page(t, "docs/admin/locked-out.md")
	users := []string{"someone"}
	for reason := range plights {
		users = append(users, "u"+strings.ReplaceAll(reason, "_", ""))
	}
	slices.Sort(users[1:])
	g := newReader(t, testclock, users...)
	for _, u := range users {
		g.server.Do("user", "add", u)
	}
	g.devices["someone"] = g.server.Hotp("someone")
	g.laptop.Enroll(g.server.MachineToken())
	g.laptop.RunAgent()
	g.signIn()
	helped := 0
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| .*$").FindAllStringSubmatch(text, -1) {
		if p, known := plights[row[1]]; known {
			helped++
			g.who = "u" + strings.ReplaceAll(row[1], "_", "")
			g.helps(row[1], row[0], p)
		} else {
			g.who = "someone"
			g.follow(row[0])
		}
	}
	if helped != len(plights) {
		t.Errorf("%d of %d reasons were found on the page", helped, len(plights))
	}
	g.who = "someone"
	_, rest, _ := strings.Cut(text, "\n## ")
	g.follow(rest)
}

// helps brings a user into a plight, does what the row says, and wants him in.
func (g *reader) helps(reason, row string, p plight) {
	g.t.Helper()
	if p.rules != "" {
		g.server.Policy(fmt.Sprintf(`{"name": %q, "priority": 1, "users": [%q], %s}`, g.who, g.who, p.rules))
	}
	if p.token {
		g.devices[g.who] = g.server.Hotp(g.who)
		verdict(g.t, g.laptop.Login(g.who, g.code(g.who)), "allow verified_online")
		g.laptop.Do("sync")
	}
	if p.befalls != nil {
		p.befalls(g)
	}
	answer := ""
	if p.token {
		answer = g.code(g.who)
	}
	if out := g.laptop.Login(g.who, answer); out.Code == 0 || !strings.HasSuffix(out.Verdict(), " "+reason) {
		g.t.Errorf("verdict %q, want %s\n%s%s", out.Verdict(), reason, out.Transcript, out.Stderr)
	}
	if p.himself != nil {
		p.himself(g)
	}
	g.follow(row)
	if in := g.laptop.Login(g.who, g.code(g.who)); in.Code != 0 {
		g.t.Errorf("%s: what the page says does not help:\n%s%s", reason, in.Transcript, in.Stderr)
	}
}
