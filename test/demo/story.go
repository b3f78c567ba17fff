//go:build linux

package main

import (
	"fmt"
	"strings"
	"time"

	"latchkey/test/lab"
)

const offlineLogins = 2

// A journey is the story's world: one server, one laptop, one user.
type journey struct {
	stage  *stage
	clock  *lab.Clock
	server *lab.Server
	laptop *lab.Machine
	phone  *lab.Authenticator
}

func story(s *stage) {
	began := time.Now()
	fmt.Println("Latchkey: a laptop that travels")
	say("A real server, a real sshd with the PAM module, real network namespaces.")
	say("Only the clock is ours: it moves on to the next code, so that nobody has to wait.")

	j := settleIn(s)
	j.online()
	j.offline()
	j.refused()
	j.home()

	fmt.Println()
	say("That was the whole story, in %d seconds. Nothing of it stays on this machine.", int(time.Since(began).Seconds()))
	say("make up leaves such a world standing, to be explored.")
}

// settleIn brings everything up to the moment before the first login.
func settleIn(s *stage) *journey {
	chapter("1. The administrator sets up")
	l := lab.New(s)
	j := &journey{stage: s, clock: l.Clock("all")}
	j.server = l.Serve(j.clock)
	say("latchkey serve is up; latchkey admin create has made the first administrator.")
	j.admin("user", "add", "ana")
	j.phone = j.server.Totp("ana")
	say("$ latchkey authenticator add totp ana")
	say("Ana scans the QR code with her phone.")
	j.server.Policy(fmt.Sprintf(`{"name":"default","offline":{"enabled":true,"days":7,"logins":%d}}`, offlineLogins))
	say("$ latchkey policy set -f policy.json      (offline: 7 days and %d logins, whichever ends first)", offlineLogins)

	j.laptop = l.Machine("laptop", j.clock, "ana")
	token := j.server.MachineToken()
	say("$ latchkey machine token create")
	j.laptop.Enroll(token)
	say("laptop$ latchkey-agent enroll --token-file token --state %s", "/var/lib/latchkey-agent")
	j.laptop.RunAgent()
	j.laptop.ProtectAll()
	j.laptop.ServeSSH("keyboard-interactive")
	say("The agent runs, and PAM asks for the code after the password: ssh, sudo, su, login.")
	return j
}

func (j *journey) online() {
	chapter("2. In the office: the server checks the code")
	j.login(true, `laptop-is-open`)
	j.laptop.Do("sync")
	say("The laptop now holds the codes of the next 7 days for Ana, and no key that could make more.")
}

func (j *journey) offline() {
	chapter("3. On a plane: the laptop checks the code")
	j.laptop.Cut(lab.BlackHole)
	say("(the network swallows every packet)")
	for range offlineLogins {
		j.login(true, `laptop-is-open`)
	}
}

func (j *journey) refused() {
	chapter("4. The allowance is used up")
	j.login(false, `Offline logins are used up[^\r\n]*`)
}

func (j *journey) home() {
	chapter("5. Back in the network")
	j.laptop.Restore()
	say("(the network is back)")
	j.login(true, `laptop-is-open`)
	j.laptop.Do("sync")
	say("Ana's next offline days begin now. What happened on the plane has been reported:")
	j.admin("audit", "list")
	j.admin("enrollment", "list")
}

// admin shows an administrator's command and what it printed.
func (j *journey) admin(args ...string) {
	say("$ latchkey %s", strings.Join(args, " "))
	quote(j.server.Do(args...))
}

// login signs Ana in by ssh with her password and, where she is asked for it,
// the next code of her phone, and shows what she sees.
func (j *journey) login(in bool, shown string) {
	say("$ ssh ana@laptop echo laptop-is-open")
	ssh := j.laptop.SSH("ana", "echo", "laptop-is-open")
	quote(ssh.Expect(`assword: `) + "********")
	ssh.Type(lab.Password)
	if in {
		prompt := ssh.Expect(`One-time code[^\r\n]*: `)
		j.clock.NextStep(j.phone.Period)
		code := j.phone.Code(j.clock.Now())
		quote(prompt + code)
		ssh.Type(code)
	}
	quote(ssh.Expect(shown))
	if code := ssh.Wait(); (code == 0) != in {
		j.stage.Fatalf("demo: ssh ended with %d:\n%s", code, ssh.Shown())
	}
	if in {
		say("=> let in")
	} else {
		say("=> not let in")
	}
}
