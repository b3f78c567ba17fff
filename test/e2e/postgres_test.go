//go:build linux

package e2e_test

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"latchkey/internal/store/storetest"
	"latchkey/test/lab"
)

// A pair is two servers on one PostgreSQL, and a laptop that knows both.
type pair struct {
	*lab.Lab
	cluster  *storetest.Cluster
	database string
	one, two *lab.Server
	laptop   *lab.Machine
	tokens   map[string]*lab.Authenticator // of every user
}

func newPair(t *testing.T, users ...string) *pair {
	t.Helper()
	l := lab.New(t)
	p := &pair{Lab: l, cluster: l.Postgres(), tokens: map[string]*lab.Authenticator{}}
	var err error
	if p.database, err = p.cluster.Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.begin(t, users...)
	return p
}

// begin starts both servers and the machine.
func (p *pair) begin(t *testing.T, users ...string) {
	t.Helper()
	l := p.Lab
	clock := l.Clock("all")
	p.one, p.two = l.ServeTwo(clock, p.database)
	for _, u := range users {
		p.one.Do("user", "add", u)
		p.tokens[u] = p.two.Hotp(u)
	}
	p.laptop = l.Machine("laptop", clock, users...)
	p.laptop.Enroll(p.one.MachineToken())
	p.laptop.RunAgent()
}

// ask runs a query beside the servers.
func (p *pair) ask(t *testing.T, query string, into ...any) {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), p.database)
	if err == nil {
		err = conn.QueryRow(context.Background(), query).Scan(into...)
		conn.Close(context.Background())
	}
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

// audited demands that everybody who was let in is in the audit trail, that no
// code let in twice, and that the trail verifies, in the database itself.
func (p *pair) audited(t *testing.T, s *lab.Server, allowed int) {
	t.Helper()
	p.laptop.Do("sync") // what was decided offline
	var recorded, twice int
	p.ask(t, "SELECT count(*) FROM events WHERE kind = 'logon' AND outcome = 'allow'", &recorded)
	p.ask(t, `SELECT count(*) FROM (SELECT 1 FROM events WHERE kind = 'logon' AND outcome = 'allow'
		GROUP BY credential, used HAVING count(*) > 1) x`, &twice)
	if recorded < allowed || twice > 0 {
		t.Errorf("%d were let in, %d are recorded, %d codes let in twice", allowed, recorded, twice)
	}
	key := []string{}
	if s == p.two {
		key = []string{"--key-file", p.Dir() + "/key"}
	}
	s.Do(append([]string{"audit", "verify", "--data", s.Data, "--database", p.database}, key...)...)
}

// traffic signs every user in again and again, one after the other and all at
// once, and calls meanwhile when half of it is done. It returns the verdicts.
func (p *pair) traffic(logins int, meanwhile func()) (verdicts []string) {
	var mu sync.Mutex
	var users, half sync.WaitGroup
	half.Add(len(p.tokens))
	for user, token := range p.tokens {
		users.Go(func() {
			for i := range logins {
				login := p.laptop.Login(user, token.Press())
				mu.Lock()
				verdicts = append(verdicts, login.Verdict())
				mu.Unlock()
				if i == logins/2-1 {
					half.Done()
				}
			}
		})
	}
	half.Wait()
	meanwhile()
	users.Wait()
	return verdicts
}

func allowed(verdicts []string) (n int) {
	for _, v := range verdicts {
		if strings.HasPrefix(v, "allow ") {
			n++
		}
	}
	return n
}

func TestTwoServersAreOneDeployment(t *testing.T) {
	t.Parallel()
	p := newPair(t, "ana")
	code := p.tokens["ana"].Press()
	verdict(t, p.laptop.Login("ana", code), "allow verified_online")

	// The agent asks the first server that answers.
	p.one.Kill()
	if again := p.laptop.Login("ana", code); again.Code == 0 {
		t.Errorf("B10 the code that one server took, the other takes again:\n%s", again.Transcript)
	}
	verdict(t, p.laptop.Login("ana", p.tokens["ana"].Press()), "allow verified_online")
	p.two.Do("user", "disable", "ana")
	p.one.Start()
	p.two.Kill()
	verdict(t, p.laptop.Login("ana", p.tokens["ana"].Press()), "deny account_disabled")
	p.one.Do("user", "enable", "ana")
	verdict(t, p.laptop.Login("ana", p.tokens["ana"].Press()), "allow verified_online")
	p.audited(t, p.one, 3)
}

func TestAServerKilledInTheMiddleOfTrafficCostsNothing(t *testing.T) {
	t.Parallel()
	p := newPair(t, "ana", "ben", "cem", "dan")
	verdicts := p.traffic(6, p.one.Kill)
	for _, v := range verdicts {
		// A machine under load may find no server in time, and has no codes yet.
		if v != "allow verified_online" && v != "allow verified_offline" && v != "deny server_unreachable" && v != "deny not_enrolled_here" {
			t.Errorf("a login with a fresh code ended with %q", v)
		}
	}
	if n := allowed(verdicts); n < len(verdicts)/2 {
		t.Errorf("of %d logins with fresh codes %d were let in: %v", len(verdicts), n, verdicts)
	}
	p.laptop.Do("sync") // the agent hears that a server is there
	verdict(t, p.laptop.Login("ana", p.tokens["ana"].Press()), "allow verified_online")
	p.audited(t, p.two, allowed(verdicts)+1)
}

// The first server has begun to write the answer down, and is killed before it
// could. The second one judges the same answer: once.
func TestAServerKilledInATransactionLeavesNothingHalf(t *testing.T) {
	t.Parallel()
	p := newPair(t, "ana")
	verdict(t, p.laptop.Login("ana", p.tokens["ana"].Press()), "allow verified_online")

	hold, err := pgx.Connect(t.Context(), p.database)
	if err != nil {
		t.Fatal(err)
	}
	defer hold.Close(context.Background())
	if _, err := hold.Exec(t.Context(), "BEGIN; LOCK TABLE answers IN SHARE MODE"); err != nil { // readers pass
		t.Fatal(err)
	}
	done := make(chan lab.Login)
	go func() { done <- p.laptop.Login("ana", p.tokens["ana"].Press()) }()
	eventuallyIn(t, "the answer waits for the lock", func() bool {
		var waiting bool
		p.ask(t, "SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'INSERT INTO answers%')", &waiting)
		return waiting
	})
	p.one.Kill()
	if _, err := hold.Exec(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	if login := <-done; login.Code != 0 {
		t.Errorf("%s%s", login.Transcript, login.Stderr)
	}
	p.audited(t, p.two, 2)
	var events int
	p.ask(t, "SELECT count(*) FROM events WHERE kind = 'logon' AND outcome = 'allow'", &events)
	if events != 2 {
		t.Errorf("%d logins are recorded, want 2", events)
	}
}

func eventuallyIn(t *testing.T, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !so(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it never happened: %s", what)
		}
	}
}

// While the database is down nobody is let in without a record, and when it is
// back the servers go on, without anybody's help.
func TestTheDatabaseCrashesUnderLoad(t *testing.T) {
	t.Parallel()
	p := newPair(t, "ana", "ben", "cem")
	verdicts := p.traffic(6, func() {
		p.cluster.Crash()
		for _, s := range []*lab.Server{p.one, p.two} {
			if r := s.Try("user", "list"); r.Code == 0 || !strings.Contains(r.Stderr, "the database cannot be reached") {
				t.Errorf("while the database is down: %v", r)
			}
		}
		if err := p.cluster.Start(); err != nil {
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
	p.laptop.Do("sync") // the agent hears that its server is back
	last := p.laptop.Login("ana", p.tokens["ana"].Press())
	verdict(t, last, "allow verified_online")
	p.audited(t, p.one, allowed(verdicts)+1)
	if log := p.one.Log() + p.two.Log(); strings.Contains(log, "panic") {
		t.Error(fmt.Sprint("a server panicked:\n", log))
	}
}

// TestTheGuideToPostgreSQLSpeaksTheTruth does what the page says, in its order.
func TestTheGuideToPostgreSQLSpeaksTheTruth(t *testing.T) {
	t.Parallel()
	text := page(t, "docs/admin/postgresql.md")
	l := lab.New(t)
	p := &pair{Lab: l, cluster: l.Postgres(), tokens: map[string]*lab.Authenticator{}}
	for _, block := range regexp.MustCompile("(?ms)^```sql\n(.*?)^```").FindAllStringSubmatch(text, -1) {
		for line := range strings.Lines(block[1]) { // the lab has a role latchkey
			if err := p.cluster.Administer(t.Context(), strings.ReplaceAll(line, "latchkey", "guide")); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
		}
	}
	p.database = p.cluster.URL("guide")
	p.begin(t, "ana")
	lines := typed(text)
	for _, line := range lines {
		p.follow(t, line)
	}
	if len(lines) < 10 {
		t.Errorf("only %d commands were found", len(lines))
	}
	verdict(t, p.laptop.Login("ana", p.tokens["ana"].Press()), "allow verified_online")
}

// follow runs one line of the guide.
func (p *pair) follow(t *testing.T, line string) {
	t.Helper()
	args := strings.Fields(line)
	for i, a := range args {
		args[i] = strings.NewReplacer("SECOND", p.two.Data, "DIR", p.one.Data, "OTHER", p.Dir()+"/other", "FILE", p.Dir()+"/file",
			"KEY", p.Dir()+"/key", "URL", p.database).Replace(a)
	}
	switch {
	case line == "latchkey serve": // in a sentence
	case args[1] == "serve":
		serveOnce(t, p.laptop, append([]string{p.Programs().ClockServer}, args[1:]...))
	case line == "latchkey admin create root --data DIR --database URL --json":
		// The lab has run this, in these words.
	default:
		if r := p.one.Try(args[1:]...); r.Code != 0 {
			t.Errorf("%s: %v", line, r)
		}
	}
}
