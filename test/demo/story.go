//go:build linux

package main

import (
	"fmt"
	"strings"
	"time"

	"latchkey/test/lab"
)

const offlineLogins = 2

// A journey is the story's world: a server, a laptop that travels and a desk
// that does not, Ana with a phone and Ben with a hardware token.
type journey struct {
	stage  *stage
	lab    *lab.Lab
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
	j.token()
	second(s)

	fmt.Println()
	say("That was the whole story, in %d seconds. Nothing of it stays on this machine.", int(time.Since(began).Seconds()))
	say("make up leaves such a world standing, to be explored.")
}

// settleIn brings everything up to the moment before the first login.
func settleIn(s *stage) *journey {
	chapter("1. The administrator sets up")
	l := lab.New(s)
	j := &journey{stage: s, lab: l, clock: l.Clock("all")}
	j.server = l.Serve(j.clock)
	say("latchkey serve is up; latchkey admin create has made the first administrator.")
	j.admin("user", "add", "ana")
	j.phone = j.server.Totp("ana")
	say("$ latchkey authenticator add totp ana")
	say("Ana scans the QR code with her phone.")
	j.server.Policy(fmt.Sprintf(`{"name":"default","offline":{"enabled":true,"days":7,"logins":%d}}`, offlineLogins))
	say("$ latchkey policy set -f policy.json      (offline: 7 days and %d logins, whichever ends first)", offlineLogins)

	j.laptop = j.machine("laptop", "ana", "ben")
	say("The agent runs, and PAM asks for the code after the password: ssh, sudo, su, login.")
	return j
}

// machine enrols a machine and puts the module before its doors.
func (j *journey) machine(name string, people ...string) *lab.Machine {
	m := j.lab.Machine(name, j.clock, people...)
	token := j.server.MachineToken()
	say("$ latchkey machine token create")
	m.Enroll(token)
	say("%s$ latchkey-agent enroll --token-file token --state /var/lib/latchkey-agent", name)
	m.RunAgent()
	m.ProtectAll()
	m.ServeSSH("keyboard-interactive")
	return m
}

func (j *journey) online() {
	chapter("2. In the office: the server checks the code")
	j.ana(true, `ana-is-in`)
	j.laptop.Do("sync")
	say("The laptop now holds the codes of the next 7 days for Ana, and no key that could make more.")
}

func (j *journey) offline() {
	chapter("3. On a plane: the laptop checks the code")
	j.laptop.Cut(lab.BlackHole)
	say("(the network swallows every packet)")
	for range offlineLogins {
		j.ana(true, `ana-is-in`)
	}
}

func (j *journey) refused() {
	chapter("4. The allowance is used up")
	j.ana(false, `Offline logins are used up[^\r\n]*`)
}

func (j *journey) home() {
	chapter("5. Back in the network")
	j.laptop.Restore()
	say("(the network is back)")
	j.ana(true, `ana-is-in`)
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

// ana signs Ana in on the laptop, with the next code of her phone.
func (j *journey) ana(in bool, shown string) {
	j.login(j.laptop, "ana", in, shown, func() string {
		j.clock.NextStep(j.phone.Period)
		return j.phone.Code(j.clock.Now())
	})
}

// login signs a user in by ssh with the password and, where a code is asked
// for, what code returns, and shows what the user sees.
func (j *journey) login(m *lab.Machine, user string, in bool, shown string, code func() string) {
	say("$ ssh %s@%s echo %[1]s-is-in", user, m.Name())
	ssh := m.SSH(user, "echo", user+"-is-in")
	quote(ssh.Expect(`assword: `) + "********")
	ssh.Type(lab.Password)
	prompt := ssh.Expect(`One-time code[^\r\n]*: |` + shown)
	if strings.Contains(prompt, "One-time code") {
		typed := code()
		quote(prompt + typed)
		ssh.Type(typed)
		prompt = ssh.Expect(shown)
	}
	quote(prompt)
	if code := ssh.Wait(); (code == 0) != in {
		j.stage.Fatalf("demo: ssh ended with %d:\n%s", code, ssh.Shown())
	}
	if in {
		say("=> let in")
	} else {
		say("=> not let in")
	}
}
