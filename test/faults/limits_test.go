//go:build linux

package faults_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"latchkey/test/lab"
)

const day = 24 * time.Hour

func TestC01C03LoginsAreCountedThroughRestartsAndReboots(t *testing.T) {
	t.Parallel()
	w := newAna(t)
	w.policy("ana", `"offline":{"days":7,"logins":3}`)
	w.ready(w.laptop, "ana")
	w.laptop.Cut(lab.Unplugged)

	got := w.in(w.laptop, "ana")
	w.want(got, offline)
	w.shows(got, "(3 offline logins left, until ")
	for range 2 { // elevation is asked for and does not spend
		w.want(w.laptop.LoginTo("elevate", "ana", w.code("ana")), offline)
	}
	w.laptop.Kill()
	w.laptop.RunAgent()
	got = w.in(w.laptop, "ana")
	w.want(got, offline, "after a restart")
	w.shows(got, "(2 offline logins left, until ")
	w.laptop.Reboot()
	got = w.in(w.laptop, "ana")
	w.want(got, offline, "after a reboot")
	w.shows(got, "(1 offline login left, until ")
	w.shows(got, "That was the last offline login")

	got = w.in(w.laptop, "ana")
	w.want(got, over)
	w.shows(got, "Offline logins are used up. Connect to the network and sign in once.")
	if strings.Contains(got.Transcript, "ASK") {
		t.Errorf("C01 a code is asked for that cannot help:\n%s", got.Transcript)
	}
	w.want(w.laptop.LoginTo("elevate", "ana", w.code("ana")), offline, "elevation does not spend")
	w.laptop.Reboot()
	w.want(w.in(w.laptop, "ana"), over, "C01 used up, and rebooted")

	// Contact alone renews nothing.
	w.laptop.Restore()
	w.laptop.Do("sync")
	w.laptop.Cut(lab.Unplugged)
	w.want(w.in(w.laptop, "ana"), over, "B-32 a background sync must not renew the allowance")

	// An online login does.
	w.laptop.Restore()
	w.laptop.Do("sync") // the agent has noticed that the server is back
	w.ready(w.laptop, "ana")
	w.laptop.Cut(lab.Unplugged)
	got = w.in(w.laptop, "ana")
	w.want(got, offline, "C03")
	w.shows(got, "(3 offline logins left, until ")
}

func TestC02C14TheFirstLimitReachedWins(t *testing.T) {
	t.Parallel()
	people := []string{"days", "logins", "none"}
	w := newWorld(t, people)
	w.policy("days", `"offline":{"days":2,"logins":1000}`)
	w.policy("logins", `"offline":{"days":14,"logins":1}`)
	w.policy("none", `"offline":{"days":null,"logins":null}`)
	for _, name := range people {
		w.app(name)
		w.ready(w.laptop, name)
	}
	var status agentStatus
	w.laptop.JSON(&status, "status")
	for _, u := range status.Users {
		if (u.LoginsLeft == nil) != (u.User == "none") {
			t.Errorf("status of %s: %v logins left", u.User, u.LoginsLeft)
		}
		if u.ValidUntil == nil {
			t.Errorf("status of %s: without a last day", u.User)
		}
	}
	w.clock.Pass(day)
	w.laptop.Do("sync") // renews nothing
	w.laptop.Cut(lab.PortsClosed)

	for _, name := range people {
		w.want(w.in(w.laptop, name), offline, name)
	}
	w.want(w.in(w.laptop, "logins"), over, "C14 one login, with days to spare")
	w.clock.Pass(day)
	got := w.in(w.laptop, "days")
	w.want(got, over, "C14 C02 two days are over, with logins to spare")
	for range 12 { // more than any wrong count would allow
		got = w.in(w.laptop, "none")
		w.want(got, offline)
	}
	w.shows(got, "(offline, until ")

	// No limit in the policy is the hard maximum of the machine's class.
	w.clock.Pass(11 * day)
	w.want(w.in(w.laptop, "none"), offline, "the 13th day")
	w.clock.Pass(day)
	w.want(w.in(w.laptop, "none"), over, "C13 the 14th day is over")
	w.laptop.Kill()
	w.laptop.RunAgent()
	w.want(w.in(w.laptop, "none"), over, "after a restart")
	w.clock.Set(-2 * day)
	w.laptop.Reboot()
	if got := w.in(w.laptop, "none"); got.Code == 0 {
		t.Errorf("D05 the clock set back over a reboot brought the days back:\n%s", got.Transcript)
	}
}

func TestC05C07WrongCodesCostTimeThenTheLogin(t *testing.T) {
	t.Parallel()
	w := newAna(t)
	w.token("ana")
	w.want(w.laptop.Login("ana", "totp", w.code("ana")), online)
	w.laptop.Do("sync")
	w.laptop.Cut(lab.PortsClosed)
	bad := func() lab.Login { return w.laptop.Login("ana", "totp", "000000") }

	for range 5 {
		w.want(bad(), wrong)
	}
	w.laptop.Kill() // forgets nothing
	w.laptop.RunAgent()
	right := w.apps["ana"].Code(w.clock.Now())
	got := w.laptop.Login("ana", "totp", right)
	w.want(got, "deny throttled", "C05 the right code within the delay")
	w.shows(got, "Try again in ")
	// C11: another factor has a count of its own.
	w.want(w.laptop.Login("ana", "hotp", w.tokens["ana"].Press()), offline, "C11")

	for range 5 {
		w.clock.Pass(time.Hour)
		w.want(bad(), wrong)
	}
	w.clock.Pass(2 * time.Hour)
	got = w.laptop.Login("ana", "totp", w.apps["ana"].Code(w.clock.Now()))
	if got.Code == 0 {
		t.Errorf("C07 the eleventh try was let in after ten wrong codes:\n%s", got.Transcript)
	}
	w.laptop.Reboot()
	got = w.laptop.Login("ana", "totp", w.apps["ana"].Code(w.clock.Now()))
	if got.Code == 0 {
		t.Errorf("C07 a reboot opened the lock:\n%s", got.Transcript)
	}
	// Online opens it, and the machine believes it.
	w.laptop.Restore()
	w.laptop.Do("sync")
	w.want(w.laptop.Login("ana", "totp", w.code("ana")), online)
	w.laptop.Do("sync")
	w.laptop.Cut(lab.PortsClosed)
	w.want(w.laptop.Login("ana", "totp", w.code("ana")), offline)
}

func TestA01TheCodesOfRFC4226AreTakenOfflineInTheirOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t, []string{"ana"})
	// "12345678901234567890" in base32
	seed := w.File("rfc4226", "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\n")
	w.server.Do("authenticator", "add", "hotp", "ana", "--secret-file", seed)
	codes := strings.Fields("755224 287082 359152 969429 338314 254676 287922 162583 399871 520489")
	w.want(w.laptop.Login("ana", codes[0]), online)
	w.laptop.Do("sync")
	w.laptop.Cut(lab.PortsClosed)
	for i, code := range codes[1:] {
		w.want(w.laptop.Login("ana", code), offline, "A01 counter", i+1)
	}
	for i, code := range codes {
		if got := w.laptop.Login("ana", code); got.Code == 0 {
			t.Errorf("B10 counter %d was taken again:\n%s", i, got.Transcript)
		}
	}
	w.laptop.Restore()
	w.laptop.Do("sync")
	for i, code := range codes {
		if got := w.laptop.Login("ana", code); got.Code == 0 {
			t.Errorf("B10 counter %d was used offline, reported, and taken online:\n%s", i, got.Transcript)
		}
	}
	if found := w.incidents(); len(found) > 0 {
		t.Errorf("an honest token is an incident: %+v", found)
	}
}

func TestA15OtherPeriodsDigitsAndAlgorithmsWorkOnlineAndOffline(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, query string }{
		{"sixty", "algorithm=SHA256&digits=7&period=60"},
		{"eight", "algorithm=SHA512&digits=8&period=30"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, []string{"ana"})
			uri := "otpauth://totp/ACME:ana?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZA&issuer=ACME&" + tc.query
			w.server.Do("authenticator", "add", "totp", "ana", "--uri-file", w.File("uri", uri+"\n"))
			w.apps["ana"] = lab.Scan(t, uri)
			w.ready(w.laptop, "ana")
			w.laptop.Cut(lab.PortsClosed)
			code := w.code("ana")
			w.want(w.laptop.Login("ana", code), offline, "A15")
			w.want(w.laptop.Login("ana", code), used, "A15 B01")
			w.want(w.in(w.laptop, "ana"), offline, "A15")
			w.want(w.laptop.Login("ana", w.code("ana")[:6]), wrong, "A15 a code that is too short")
			// D01: the step before and the next one, not the one after that.
			now := w.clock.Now()
			w.want(w.laptop.Login("ana", w.apps["ana"].Code(now.Add(2*w.apps["ana"].Period))), wrong, "D01 two steps ahead")
			w.want(w.laptop.Login("ana", w.apps["ana"].Code(now.Add(w.apps["ana"].Period))), offline, "D01 one step ahead")
		})
	}
}

func TestTwoFactorsAreAskedForAndEachIsUsedUp(t *testing.T) {
	t.Parallel()
	w := newAna(t)
	w.token("ana")
	w.policy("ana", `"factors":{"required":2,"online":["totp","hotp"],"offline":["totp","hotp"]}`)
	app, token := w.apps["ana"], w.tokens["ana"]
	both := func() []string { return []string{w.code("ana"), token.Press()} }

	for _, state := range []string{online, offline} {
		answers := both()
		w.want(w.laptop.Login("ana", answers...), state)
		w.want(w.laptop.Login("ana", answers...), used, "both again")
		one := w.laptop.Login("ana", w.code("ana"))
		w.want(one, "deny cancelled", "one of two factors", state)
		w.want(w.laptop.Login("ana", app.Code(w.clock.Now()), token.Press()), used, "the factor given before the cancel")
		w.want(w.laptop.Login("ana", w.code("ana"), "000000"), wrong, "the second is wrong", state)
		same := w.laptop.Login("ana", w.code("ana"), app.Code(w.clock.Now().Add(app.Period)))
		if same.Code == 0 {
			t.Errorf("two codes of one app are two factors (%s):\n%s", state, same.Transcript)
		}
		if state == online {
			w.want(w.laptop.Login("ana", both()...), online)
			w.laptop.Do("sync")
			w.laptop.Cut(lab.PortsClosed)
		}
	}
}

func TestJ01J02J04TrustIsOfThisMachineAndEndsWithItsBoot(t *testing.T) {
	t.Parallel()
	w := newAna(t)
	w.policy("ana", `"trust_hours":2`)
	kiosk := w.machine("kiosk", "ana")
	w.server.Do("machine", "enforce", "kiosk")
	const trusted = "allow trusted"

	got := w.laptop.Login("ana", w.code("ana"), "y")
	w.want(got, online)
	w.shows(got, "Trust this machine until")
	w.want(w.laptop.Login("ana"), trusted, "J01")
	w.laptop.Do("sync")
	for _, scenario := range []string{"elevate", "remote"} {
		w.want(w.laptop.LoginTo(scenario, "ana"), "deny cancelled", "J04", scenario, "asks")
	}
	got = kiosk.Login("ana", w.code("ana"), "y")
	w.want(got, online)
	if strings.Contains(got.Transcript, "Trust") {
		t.Errorf("J06 trust is offered on a machine that asks everyone:\n%s", got.Transcript)
	}
	w.want(kiosk.Login("ana"), "deny cancelled", "J06 asks")

	w.laptop.Cut(lab.PortsClosed)
	w.want(w.laptop.Login("ana"), trusted, "J01 offline")
	w.clock.Pass(2 * time.Hour)
	w.want(w.laptop.Login("ana"), "deny cancelled", "J01 two hours are over: asks")
	w.want(w.laptop.Login("ana", w.code("ana"), "y"), offline)
	w.want(w.laptop.Login("ana"), trusted, "J01 trusted offline")
	w.laptop.Kill()
	w.laptop.RunAgent()
	w.want(w.laptop.Login("ana"), trusted, "a restart of the agent is no boot")
	w.laptop.Reboot()
	w.want(w.laptop.Login("ana"), "deny cancelled", "J02 rebooted: asks")
}

func TestJ07TrustDoesNotOutliveTheAllowanceAndADisabledUserIsNotTrusted(t *testing.T) {
	t.Parallel()
	w := newAna(t)
	w.app("ben")
	for _, user := range []string{"ana", "ben"} {
		w.policy(user, `"trust_hours":200,"offline":{"days":2,"logins":1}`)
		w.want(w.laptop.Login(user, w.code(user), "yes"), online)
	}
	w.laptop.Do("sync")
	w.server.Do("user", "disable", "ben", "--yes")
	w.laptop.Do("sync")
	w.want(w.laptop.Login("ben"), "deny account_disabled")
	w.laptop.Cut(lab.PortsClosed)
	w.want(w.laptop.Login("ben"), "deny account_disabled")
	w.want(w.laptop.Login("ana"), "allow trusted")
	w.clock.Pass(2 * day)
	w.want(w.laptop.Login("ana"), over, "J07")
}

func TestGraceSparesOnlyTheSameTerminal(t *testing.T) {
	t.Parallel()
	w := newAna(t)
	w.policy("ana", `"scenarios":{"elevate":{"ask":true,"grace_minutes":10}}`)
	w.laptop.ProtectAll()
	w.ready(w.laptop, "ana")
	for _, cut := range []bool{false, true} {
		if cut {
			// First the cut: a sync under way must not see an hour pass.
			w.laptop.Cut(lab.PortsClosed)
			w.clock.Pass(time.Hour)
		}
		// sudo -k forgets sudo's own memory: what is left is ours.
		term := w.laptop.As("ana", "sh", "-c", `sudo -k id; sudo -k id; echo over`)
		term.Expect(`assword.*: `)
		term.Type(lab.Password)
		term.Expect(`One-time code.*: `)
		term.Type(w.code("ana"))
		term.Expect(`uid=0\(root\)`)
		term.Expect(`assword.*: `)
		term.Type(lab.Password)
		if shown := term.Expect(`over|One-time`); strings.Contains(shown, "One-time") || !strings.Contains(shown, "uid=0(root)") {
			t.Errorf("cut %v: asked again a moment later on the same terminal:\n%s", cut, shown)
		}
	}
	other := w.laptop.As("ana", "sudo", "-k", "id")
	other.Expect(`assword.*: `)
	other.Type(lab.Password)
	other.Expect(`One-time code.*: `)
	w.clock.Pass(10 * time.Minute)
	w.laptop.Reboot()
	again := w.laptop.As("ana", "sudo", "-k", "id")
	again.Expect(`assword.*: `)
	again.Type(lab.Password)
	again.Expect(`One-time code.*: `)
}

func TestD02D05TheClockCannotBeTurnedBackForAUsedCode(t *testing.T) {
	t.Parallel()
	w := newAna(t)
	w.ready(w.laptop, "ana")
	w.laptop.Cut(lab.PortsClosed)
	code := w.code("ana")
	w.want(w.laptop.Login("ana", code), offline)
	w.clock.Set(-10 * time.Minute)
	w.want(w.laptop.Login("ana", code), used, "D02")
	if got := w.laptop.Login("ana", w.apps["ana"].Code(w.clock.Now())); got.Code == 0 {
		t.Errorf("D02 a code of ten minutes ago was let in:\n%s", got.Transcript)
	}
	w.laptop.Reboot()
	if got := w.laptop.Login("ana", w.apps["ana"].Code(w.clock.Now())); got.Code == 0 {
		t.Errorf("D02 a reboot made the clock's word good:\n%s", got.Transcript)
	}
	w.clock.Set(10 * time.Minute)
	w.want(w.in(w.laptop, "ana"), offline, "D05 the clock is right again")
	w.clock.Set(2 * day)
	w.laptop.Reboot()
	w.clock.Set(-2 * day)
	w.want(w.in(w.laptop, "ana"), offline, "D05 two days ahead and back lock nobody out")
}

func TestB02ACodeOfAnEarlierStepIsUsedUp(t *testing.T) {
	t.Parallel()
	w := newAna(t)
	w.ready(w.laptop, "ana")
	w.laptop.Cut(lab.PortsClosed)
	w.want(w.in(w.laptop, "ana"), offline)
	before := w.apps["ana"].Code(w.clock.Now().Add(-w.apps["ana"].Period))
	w.want(w.laptop.Login("ana", before), used, "B02")
	spaced := w.code("ana")
	w.want(w.laptop.Login("ana", fmt.Sprintf(" %s %s ", spaced[:3], spaced[3:])), offline, "D-07 a code with spaces")
}
