//go:build linux

package main

import "latchkey/test/lab"

// token is the chapter of a hardware token that counts presses of a button: it
// is carried between two machines, and every code opens one door, once.
func (j *journey) token() {
	chapter("6. One hardware token, two machines")
	j.admin("user", "add", "ben")
	token := j.server.Hotp("ben")
	say("$ latchkey authenticator add hotp ben      (no clock in it: a button and a counter)")
	desk := j.machine("desk", "ben")

	j.ben(j.laptop, token.Press())
	j.laptop.Do("sync")
	say("The laptop now holds Ben's next codes; no other machine does. The desk asks the server:")
	j.ben(desk, token.Press())

	j.laptop.Cut(lab.BlackHole)
	say("(the laptop loses the network; the token goes on counting)")
	used := token.Press()
	j.ben(j.laptop, used)
	j.ben(desk, token.Press())

	j.laptop.Restore()
	j.laptop.Do("sync")
	say("(the network is back, and the laptop has reported) Its last code, typed at the desk:")
	j.login(desk, "ben", false, `denied`, func() string { return used })
	j.ben(desk, token.Press())
	j.admin("authenticator", "list", "ben")
}

func (j *journey) ben(m *lab.Machine, code string) {
	j.login(m, "ben", true, `ben-is-in`, func() string { return code })
}
