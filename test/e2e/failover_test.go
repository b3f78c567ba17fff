//go:build linux

package e2e_test

import (
	"strings"
	"testing"

	"latchkey/internal/store/storetest"
	"latchkey/test/lab"
)

// The first PostgreSQL is gone for good, and its standby takes over: both
// servers go to it by themselves. Whoever was let in before is in its trail, and
// no code lets in a second time.
func TestAStandbyTakesOver(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	p := &pair{Lab: l, cluster: l.Postgres(), tokens: map[string]*lab.Authenticator{}}
	var standby *storetest.Cluster
	var err error
	if p.database, err = p.cluster.Create(t.Context()); err == nil {
		standby = l.Standby(p.cluster)
		p.database, err = standby.With(p.cluster, p.database) // not the first that answers: the one that may be written to
	}
	if err != nil {
		t.Fatal(err)
	}
	p.begin(t, "ana", "ben", "cem")
	last := p.tokens["ana"].Press()
	verdict(t, p.laptop.Login("ana", last), "allow verified_online")

	verdicts := p.traffic(6, func() {
		p.cluster.Crash()
		if err := standby.Promote(); err != nil {
			t.Error(err)
		}
	})
	for _, v := range verdicts {
		if !strings.HasPrefix(v, "allow verified_o") && !strings.HasPrefix(v, "deny ") {
			t.Errorf("a login ended with %q", v)
		}
	}
	for _, s := range []*lab.Server{p.one, p.two} {
		s.Do("user", "list")
	}
	p.laptop.Do("sync")
	if again := p.laptop.Login("ana", last); again.Code == 0 {
		t.Errorf("B10 a code from before is taken again:\n%s", again.Transcript)
	}
	verdict(t, p.laptop.Login("ana", p.tokens["ana"].Press()), "allow verified_online")
	p.audited(t, p.two, allowed(verdicts)+2)
}
