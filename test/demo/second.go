//go:build linux

package main

import (
	"context"

	"latchkey/test/lab"
)

// second is the chapter of two servers on one PostgreSQL: a world of its own,
// in which one of them dies.
func second(s *stage) {
	chapter("7. A second server takes over")
	l := lab.New(s)
	database, err := l.Postgres().Create(context.Background())
	if err != nil {
		s.Fatalf("demo: %v", err)
	}
	j := &journey{stage: s, lab: l, clock: l.Clock("all")}
	one, two := l.ServeTwo(j.clock, database)
	say("one$ latchkey serve --database postgres://…  --agent-url https://one --agent-url https://two")
	say("two$ latchkey serve --database postgres://…  --key-file master.key  (nothing else is copied)")
	j.server = one
	j.admin("user", "add", "ben")
	token := one.Hotp("ben")
	say("$ latchkey authenticator add hotp ben")
	j.laptop = j.machine("laptop", "ben")

	used := token.Press()
	j.ben(j.laptop, used)
	one.Kill()
	say("(the first server is killed)")
	j.ben(j.laptop, token.Press())
	say("The second one answers, and knows what the first one took. That first code again:")
	j.login(j.laptop, "ben", false, `denied`, func() string { return used })
	j.server = two
	j.admin("audit", "list", "--kind", "logon")
	j.admin("audit", "verify")
}
